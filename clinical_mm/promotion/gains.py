"""How much better the challenger is, with the interval of the difference, and how small a gain the cases could show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from clinical_mm.evaluation.metrics import Estimate, Metric
from clinical_mm.promotion.contest import Contest

TWO_SIDED_5_PERCENT, POWER_80_PERCENT = 1.960, 0.842
"""Quantiles of the normal distribution."""


@dataclass(frozen=True)
class Gain:
    """A metric of both models on the same cases.

    Attributes:
        difference: challenger minus champion, paired.
        detectable: the smallest true difference that so many cases would show in four of five such comparisons, from
            the bootstrap's standard error; NaN where there is none.
    """

    champion: Estimate
    challenger: Estimate
    difference: Estimate
    detectable: float

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "champion": self.champion.to_json(),
            "challenger": self.challenger.to_json(),
            "difference": self.difference.to_json(),
            "detectable": None if np.isnan(self.detectable) else round(self.detectable, 4),
        }


def gain(
    contest: Contest,
    metric: Metric,
    *,
    rows: np.ndarray | None = None,
    diagnosis: int | None = None,
    decided: bool = False,
    confidence: float = 0.95,
) -> Gain:
    """A metric of both, over the cases of ``bool[N]`` rows and one diagnosis's column, or all.

    ``decided``: of the verdicts instead of the probabilities.
    """
    chosen = np.ones(contest.cases, bool) if rows is None else rows
    column = slice(None) if diagnosis is None else diagnosis
    targets = contest.targets[:, column]
    values, drawn = [], []
    for side in (contest.champion, contest.challenger):
        scores = (side.decided if decided else side.probabilities)[:, column]
        values.append(metric(targets[chosen], scores[chosen]))
        drawn.append(contest.bootstrap.drawn(metric, targets, scores, chosen))
    apart = drawn[1] - drawn[0]
    defined = apart[~np.isnan(apart)]
    error = float(defined.std(ddof=1)) if defined.size > 1 else float("nan")
    return Gain(
        Estimate.of(values[0], drawn[0]),
        Estimate.of(values[1], drawn[1]),
        Estimate.of(values[1] - values[0], apart, confidence),
        (TWO_SIDED_5_PERCENT + POWER_80_PERCENT) * error,
    )
