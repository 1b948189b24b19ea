"""How well each diagnosis is told from the others, with intervals by patient."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from clinical_mm.evaluation.judged import Judged
from clinical_mm.evaluation.metrics import (
    Estimate,
    Metric,
    auroc,
    average_precision,
    brier,
    f1,
    sensitivity,
    sensitivity_at_specificity,
    specificity,
)

FIXED_SPECIFICITY = 0.9


@dataclass(frozen=True)
class DiagnosisReport:
    """One diagnosis.

    Attributes:
        sensitivity_at_90_specificity: where at most one in ten without it raises an alarm.
        sensitivity, specificity, f1: of the model's verdict (most probable one, or at least one half).
        coverage: share of the cases with it whose prediction set holds it.
        false_inclusion: share of the cases without it whose prediction set holds it all the same.
    """

    code: str
    positives: int
    auroc: Estimate
    auprc: Estimate
    brier: Estimate
    sensitivity_at_90_specificity: Estimate
    sensitivity: Estimate
    specificity: Estimate
    f1: Estimate
    coverage: Estimate
    false_inclusion: Estimate

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        told = ((f.name, getattr(self, f.name)) for f in fields(self))
        return {name: part.to_json() if isinstance(part, Estimate) else part for name, part in told if name != "code"}


def by_diagnosis(judged: Judged) -> tuple[DiagnosisReport, ...]:
    """Every diagnosis, in the model's order."""
    return tuple(_diagnosis(judged, k, code) for k, code in enumerate(judged.diagnoses))


def _diagnosis(judged: Judged, k: int, code: str) -> DiagnosisReport:
    targets = judged.targets[:, k]

    def estimate(metric: Metric, scores: np.ndarray) -> Estimate:
        return judged.bootstrap.estimate(metric, targets, scores[:, k])

    p, decided, in_set = judged.probabilities, judged.decided, judged.in_set.astype(float)
    return DiagnosisReport(
        code=code,
        positives=int(targets.sum()),
        auroc=estimate(auroc, p),
        auprc=estimate(average_precision, p),
        brier=estimate(brier, p),
        sensitivity_at_90_specificity=estimate(sensitivity_at_specificity(FIXED_SPECIFICITY), p),
        sensitivity=estimate(sensitivity, decided),
        specificity=estimate(specificity, decided),
        f1=estimate(f1, decided),
        coverage=estimate(sensitivity, in_set),
        false_inclusion=estimate(specificity, 1 - in_set),
    )
