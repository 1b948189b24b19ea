"""The chief metrics of one model on one set of cases: what the registry and the card keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from clinical_mm.evaluation.diagnoses import DiagnosisReport, by_diagnosis
from clinical_mm.evaluation.judged import Judged
from clinical_mm.evaluation.metrics import (
    Bootstrap,
    Estimate,
    auroc,
    average_precision,
    brier,
    expected_calibration_error,
    macro,
    sensitivity,
)


@dataclass(frozen=True)
class Summary:
    """Metrics over ``cases`` cases of ``patients`` patients.

    Attributes:
        coverage: share of true diagnoses that the prediction sets hold, promised ``promised``.
        set_size: diagnoses in a set, on average.
    """

    cases: int
    patients: int
    macro_auroc: Estimate
    macro_auprc: Estimate
    brier: Estimate
    calibration_error: Estimate
    coverage: Estimate
    promised: float
    set_size: float
    diagnoses: tuple[DiagnosisReport, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "cases": self.cases,
            "patients": self.patients,
            "macro_auroc": self.macro_auroc.to_json(),
            "macro_auprc": self.macro_auprc.to_json(),
            "brier": self.brier.to_json(),
            "expected_calibration_error": self.calibration_error.to_json()["value"],
            "prediction_set_coverage": self.coverage.to_json()["value"],
            "prediction_set_size": None if np.isnan(self.set_size) else round(self.set_size, 4),
            "diagnoses": {d.code: d.to_json() for d in self.diagnoses},
        }


def summary_of(judged: Judged) -> Summary:
    """The chief metrics."""
    targets, p, bootstrap = judged.targets, judged.probabilities, judged.bootstrap
    return Summary(
        cases=len(p),
        patients=len(set(judged.patients)),
        macro_auroc=bootstrap.estimate(macro(auroc), targets, p),
        macro_auprc=bootstrap.estimate(macro(average_precision), targets, p),
        brier=bootstrap.estimate(brier, targets, p),
        calibration_error=bootstrap.estimate(expected_calibration_error, targets, p),
        coverage=_coverage(judged),
        promised=judged.calibration.coverage,
        set_size=float(judged.in_set.sum(1).mean()) if len(p) else float("nan"),
        diagnoses=by_diagnosis(judged),
    )


def _coverage(judged: Judged) -> Estimate:
    """Over all true diagnoses of all cases; those of one patient are drawn together."""
    rows, columns = np.nonzero(judged.targets)
    held = judged.in_set[rows, columns].astype(float)
    patients = [judged.patients[row] for row in rows.tolist()]
    return Bootstrap(patients).estimate(sensitivity, np.ones(len(held)), held)
