"""The evaluation report of one model on one set of cases: for people as text, for programs as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_mm.case import Case
from clinical_mm.errors import NotEnoughData
from clinical_mm.evaluation.calibration import Calibration, targets_of
from clinical_mm.evaluation.metrics import (
    Estimate,
    auroc,
    average_precision,
    brier,
    expected_calibration_error,
    macro,
    with_interval,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clinical_mm.predictor import Predictor


@dataclass(frozen=True)
class DiagnosisReport:
    """How well one diagnosis is told from the others."""

    code: str
    positives: int
    auroc: Estimate
    auprc: Estimate
    sensitivity: float
    specificity: float

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "positives": self.positives,
            "auroc": self.auroc.to_json(),
            "auprc": self.auprc.to_json(),
            "sensitivity": _rounded(self.sensitivity),
            "specificity": _rounded(self.specificity),
        }


@dataclass(frozen=True)
class Report:
    """Metrics over ``cases`` cases of ``patients`` patients."""

    cases: int
    patients: int
    macro_auroc: Estimate
    macro_auprc: Estimate
    brier: Estimate
    calibration_error: float
    coverage: float
    set_size: float
    diagnoses: tuple[DiagnosisReport, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data, for the registry and the card."""
        return {
            "cases": self.cases,
            "patients": self.patients,
            "macro_auroc": self.macro_auroc.to_json(),
            "macro_auprc": self.macro_auprc.to_json(),
            "brier": self.brier.to_json(),
            "expected_calibration_error": _rounded(self.calibration_error),
            "prediction_set_coverage": _rounded(self.coverage),
            "prediction_set_size": _rounded(self.set_size),
            "diagnoses": {d.code: d.to_json() for d in self.diagnoses},
        }

    def to_text(self) -> str:
        """A table for a terminal."""
        head = [
            f"{self.cases} cases of {self.patients} patients",
            f"macro AUROC {self.macro_auroc}, macro AUPRC {self.macro_auprc}, Brier {self.brier}",
            f"calibration error {self.calibration_error:.3f}",
            f"prediction sets: coverage {self.coverage:.2f}, mean size {self.set_size:.1f}",
            "",
            f"{'diagnosis':<26}{'n':>5}  {'AUROC':<22}{'AUPRC':<22}{'sens':>6}{'spec':>6}",
        ]
        rows = [
            f"{d.code:<26}{d.positives:>5}  {d.auroc!s:<22}{d.auprc!s:<22}{d.sensitivity:>6.2f}{d.specificity:>6.2f}"
            for d in self.diagnoses
        ]
        return "\n".join([*head, *rows])


def evaluate(predictor: Predictor, cases: Iterable[Case]) -> Report:
    """Score a model on labelled cases.

    Raises:
        NotEnoughData: none of the cases has a label.
    """
    labelled = [case for case in cases if case.diagnoses is not None]
    if not labelled:
        raise NotEnoughData("no labelled case to evaluate on")
    logits = predictor.logits(labelled)
    targets = targets_of([case.diagnoses or () for case in labelled], predictor.diagnoses)
    return report_of(logits, targets, [c.patient.id for c in labelled], predictor.diagnoses, predictor.calibration)


def report_of(
    logits: np.ndarray, targets: np.ndarray, patients: Sequence[str], diagnoses: Sequence[str], calibration: Calibration
) -> Report:
    """The report from ``logits[N, K]`` and 0/1 ``targets[N, K]``."""
    p = calibration.probabilities(logits)
    sets = [calibration.prediction_set(row) for row in p]
    held = [k in chosen for row, chosen in zip(targets, sets, strict=True) for k in np.nonzero(row)[0]]
    return Report(
        cases=len(p),
        patients=len(set(patients)),
        macro_auroc=with_interval(macro(auroc), targets, p, patients),
        macro_auprc=with_interval(macro(average_precision), targets, p, patients, resamples=200),
        brier=with_interval(brier, targets, p, patients),
        calibration_error=expected_calibration_error(targets, p),
        coverage=float(np.mean(held)) if held else float("nan"),
        set_size=float(np.mean([len(s) for s in sets])) if sets else float("nan"),
        diagnoses=tuple(
            _diagnosis(code, targets[:, k], p[:, k], _decided(p, k, calibration.kind), patients)
            for k, code in enumerate(diagnoses)
        ),
    )


def _diagnosis(
    code: str, targets: np.ndarray, p: np.ndarray, decided: np.ndarray, patients: Sequence[str]
) -> DiagnosisReport:
    positive = targets.astype(bool)
    return DiagnosisReport(
        code=code,
        positives=int(positive.sum()),
        auroc=with_interval(auroc, targets, p, patients),
        auprc=with_interval(average_precision, targets, p, patients, resamples=200),
        sensitivity=float(decided[positive].mean()) if positive.any() else float("nan"),
        specificity=float((~decided[~positive]).mean()) if (~positive).any() else float("nan"),
    )


def _decided(p: np.ndarray, k: int, kind: str) -> np.ndarray:
    """Exclusive: the most probable one; co-occurring: at least one half."""
    return np.asarray(p.argmax(1) == k if kind == "exclusive" else p[:, k] >= 0.5)


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
