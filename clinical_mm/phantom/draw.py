"""Draw whole cases: conditions first, then what each modality shows of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from clinical_mm.case import Case, ImageFile, Patient
from clinical_mm.phantom.chest import draw_film, frontal, lateral
from clinical_mm.phantom.dicom import as_dicom
from clinical_mm.phantom.measurements import draw_vitals
from clinical_mm.phantom.model import (
    AGE_DEVIATION,
    DIAGNOSES,
    FINDINGS,
    MEAN_AGE,
    OLDEST,
    STATES,
    YOUNGEST,
    finding_table,
    prior,
)
from clinical_mm.phantom.posterior import Evidence, log_likelihood_ratios
from clinical_mm.phantom.wording import ToldSpan, draw_note

MISSING_MODALITY, LATERAL = 0.1, 0.3
EPOCH = datetime(2026, 1, 1, 8, tzinfo=UTC)


@dataclass(frozen=True)
class Truth:
    """What really speaks for or against each diagnosis in this case.

    Attributes:
        evidence: what each modality shows, as ``posterior`` takes it.
        masks: for each image of the case, finding -> ``bool[H, W]`` of its pixels.
        spans: characters of the note that tell of a symptom.
        vitals: diagnosis -> vital name -> log-likelihood ratio of its value by itself, present against absent.
    """

    evidence: Evidence
    masks: tuple[Mapping[str, np.ndarray], ...]
    spans: tuple[ToldSpan, ...]
    vitals: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class PhantomCase:
    """A synthetic case, labelled, with its truth."""

    case: Case
    truth: Truth


def draw(count: int, seed: int = 0) -> Iterator[PhantomCase]:
    """``count`` cases; the same seed gives the same bytes, and more cases begin with the same ones."""
    for index in range(count):
        yield _draw_one(index, seed)


def _draw_one(index: int, seed: int) -> PhantomCase:
    rng = np.random.default_rng([seed, index])
    name = f"synthetic-{seed}-{index:05d}"
    sex: str = "F" if rng.random() < 0.5 else "M"
    age = float(int(np.clip(rng.normal(MEAN_AGE, AGE_DEVIATION), YOUNGEST, OLDEST)))
    patient = Patient(f"synthetic-patient-{seed}-{index:05d}", "F" if sex == "F" else "M", age)
    state = int(rng.choice(len(STATES), p=prior(age, sex == "M")))
    has_image, has_note, has_vitals = _draw_presence(rng)
    findings = {f: bool(rng.random() < p) for f, p in zip(FINDINGS, finding_table()[:, state], strict=True)}
    images, masks = _draw_images(rng, tuple(f for f, drawn in findings.items() if drawn), patient, name)
    note, told, spans = draw_note(rng, state, age, sex)
    vitals = draw_vitals(rng, state, age, sex == "M")
    evidence = Evidence(
        age, sex == "M", findings if has_image else None, told if has_note else None, vitals if has_vitals else None
    )
    case = Case(
        external_id=name,
        patient=patient,
        note=note if has_note else None,
        vitals=vitals if has_vitals else {},
        images=images if has_image else (),
        diagnoses=tuple(code for code, there in zip(DIAGNOSES, STATES[state], strict=False) if there),
        acquired_at=EPOCH + timedelta(minutes=17 * index),
    )
    return PhantomCase(
        case,
        Truth(
            evidence=evidence,
            masks=masks if has_image else (),
            spans=spans if has_note else (),
            vitals={code: log_likelihood_ratios(evidence, code) for code in DIAGNOSES},
        ),
    )


def _draw_images(
    rng: np.random.Generator, findings: tuple[str, ...], patient: Patient, name: str
) -> tuple[tuple[ImageFile, ...], tuple[Mapping[str, np.ndarray], ...]]:
    """The frontal film, and now and then a lateral one that shows the same."""
    site = "NORTH" if rng.random() < 0.6 else "SOUTH"
    views = (frontal(), lateral()) if rng.random() < LATERAL else (frontal(),)
    drawn = [(view.position, *draw_film(rng, view, findings)) for view in views]
    images = tuple(
        ImageFile(f"{name}-{position}.dcm", as_dicom(pixels, patient, name, position, site))
        for position, pixels, _ in drawn
    )
    return images, tuple(masks for _, _, masks in drawn)


def _draw_presence(rng: np.random.Generator) -> tuple[bool, bool, bool]:
    present = rng.random(3) >= MISSING_MODALITY
    if not present.any():
        present[rng.integers(3)] = True
    return bool(present[0]), bool(present[1]), bool(present[2])
