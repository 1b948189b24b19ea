"""What is gained where the model may stay silent: the error among the cases it is surest of.

Source: risk-coverage curve and its area, Geifman and El-Yaniv, 2017 (arXiv:1705.08500).
Shapes: N cases, K diagnoses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from clinical_mm.evaluation.judged import Judged

COVERAGES = tuple(round(0.1 * tenth, 1) for tenth in range(1, 11))


@dataclass(frozen=True)
class RiskCoverage:
    """``risks[i]`` is the share of wrong verdicts among the surest ``coverages[i]`` of the cases; ``area`` their mean.

    A verdict is the one diagnosis of an exclusive task, or the yes and no on each of co-occurring ones.
    """

    coverages: tuple[float, ...]
    risks: tuple[float, ...]
    area: float

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        points = [{"coverage": c, "risk": round(r, 4)} for c, r in zip(self.coverages, self.risks, strict=True)]
        return {"points": points, "area": round(self.area, 4)}


def risk_coverage(judged: Judged) -> RiskCoverage:
    """The curve of at least one case, from the surest on."""
    p = judged.probabilities
    wrong = judged.decided != judged.targets
    exclusive = judged.calibration.kind == "exclusive"
    error_N = wrong.any(1).astype(float) if exclusive else wrong.mean(1)
    sure_N = p.max(1) if exclusive else np.maximum(p, 1 - p).mean(1)
    risk_N = error_N[np.argsort(-sure_N, kind="stable")].cumsum() / np.arange(1, len(p) + 1)
    at = [max(0, round(coverage * len(p)) - 1) for coverage in COVERAGES]
    return RiskCoverage(COVERAGES, tuple(float(risk_N[i]) for i in at), float(risk_N.mean()))
