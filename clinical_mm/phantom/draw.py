"""Draw whole cases: diagnoses first, then what each modality shows of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from clinical_mm.case import Case, ImageFile, Patient
from clinical_mm.phantom.chest import draw_chest
from clinical_mm.phantom.dicom import as_dicom
from clinical_mm.phantom.measurements import draw_vitals, log_likelihood_ratios
from clinical_mm.phantom.wording import draw_note

DIAGNOSES = ("pneumonia", "pleural-effusion", "heart-failure", "pneumothorax")
PREVALENCE = {"heart-failure": 0.25, "pneumonia": 0.35, "pneumothorax": 0.12}
EFFUSION, EFFUSION_FROM_HEART_FAILURE = 0.12, 0.45
MISSING_MODALITY = 0.1
EPOCH = datetime(2026, 1, 1, 8, tzinfo=UTC)


@dataclass(frozen=True)
class Truth:
    """What really caused each diagnosis's evidence in this case, by diagnosis code.

    Attributes:
        masks: ``bool[H, W]`` of the finding's pixels; only findings that were drawn.
        spans: (start, end) characters of the note that tell of it, negated ones among them.
        vitals: vital name -> log-likelihood ratio of its value, diagnosis present against absent.
    """

    masks: Mapping[str, np.ndarray]
    spans: Mapping[str, tuple[tuple[int, int], ...]]
    vitals: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class PhantomCase:
    """A synthetic case, labelled, with its truth."""

    case: Case
    truth: Truth


def draw(count: int, seed: int = 0) -> Iterator[PhantomCase]:
    """``count`` cases; the same seed gives the same bytes."""
    for index in range(count):
        yield _draw_one(index, seed)


def _draw_one(index: int, seed: int) -> PhantomCase:
    rng = np.random.default_rng([seed, index])
    name = f"synthetic-{seed}-{index:05d}"
    patient = Patient(
        id=f"synthetic-patient-{seed}-{index:05d}",
        sex="F" if rng.random() < 0.5 else "M",
        age_years=float(int(np.clip(rng.normal(62, 16), 18, 98))),
    )
    present = _draw_diagnoses(rng)
    pixels, masks = draw_chest(rng, present)
    note, spans = draw_note(rng, present, DIAGNOSES, patient)
    vitals = draw_vitals(rng, present)
    has_image, has_note, has_vitals = _draw_presence(rng)
    vitals = vitals if has_vitals else {}
    dicom = as_dicom(pixels, patient, name)
    case = Case(
        external_id=name,
        patient=patient,
        note=note if has_note else None,
        vitals=vitals,
        images=(ImageFile(f"{name}.dcm", dicom),) if has_image else (),
        diagnoses=present,
        acquired_at=EPOCH + timedelta(minutes=17 * index),
    )
    truth = Truth(
        masks=masks if has_image else {},
        spans=spans if has_note else {},
        vitals={code: log_likelihood_ratios(code, vitals) for code in DIAGNOSES},
    )
    return PhantomCase(case, truth)


def _draw_diagnoses(rng: np.random.Generator) -> tuple[str, ...]:
    drawn = {code: bool(rng.random() < share) for code, share in PREVALENCE.items()}
    effusion = EFFUSION + EFFUSION_FROM_HEART_FAILURE * drawn["heart-failure"]
    drawn["pleural-effusion"] = bool(rng.random() < effusion)
    return tuple(code for code in DIAGNOSES if drawn[code])


def _draw_presence(rng: np.random.Generator) -> tuple[bool, bool, bool]:
    present = rng.random(3) >= MISSING_MODALITY
    if not present.any():
        present[rng.integers(3)] = True
    return bool(present[0]), bool(present[1]), bool(present[2])
