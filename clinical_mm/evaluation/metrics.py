"""Metrics as a reader of a paper expects them, each with a bootstrap interval clustered by patient.

Shapes: N cases, K diagnoses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Metric = Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True)
class Estimate:
    """A metric with its 95 % interval; ``value`` is NaN where it is not defined (one class alone, say)."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if np.isnan(self.value):
            return "n/a"
        return f"{self.value:.3f} [{self.low:.3f}-{self.high:.3f}]"

    def to_json(self) -> dict[str, float | None]:
        """Plain data; what is not defined is null."""
        parts = {"value": self.value, "low": self.low, "high": self.high}
        return {key: None if np.isnan(part) else round(float(part), 4) for key, part in parts.items()}


def auroc(targets: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve of ``targets[N]`` in 0/1 and ``scores[N]``; NaN where one class is missing."""
    from scipy.stats import rankdata

    positives = targets.astype(bool)
    count, others = int(positives.sum()), int((~positives).sum())
    if count == 0 or others == 0:
        return float("nan")
    ranks = rankdata(scores)  # Mann-Whitney U with ties shared: equals the trapezoidal area
    return float((ranks[positives].sum() - count * (count + 1) / 2) / (count * others))


def average_precision(targets: np.ndarray, scores: np.ndarray) -> float:
    """Area under the precision-recall curve (scikit-learn's step-wise definition)."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(targets, scores)) if targets.any() else float("nan")


def brier(targets: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean squared error of the probabilities."""
    return float(np.mean((probabilities - targets) ** 2)) if len(targets) else float("nan")


def macro(metric: Metric) -> Metric:
    """The mean over the diagnoses where it is defined, of ``targets[N, K]`` and ``probabilities[N, K]``."""

    def mean(targets: np.ndarray, probabilities: np.ndarray) -> float:
        each = [metric(targets[:, k], probabilities[:, k]) for k in range(targets.shape[1])]
        defined = [value for value in each if not np.isnan(value)]
        return float(np.mean(defined)) if defined else float("nan")

    return mean


def expected_calibration_error(targets: np.ndarray, probabilities: np.ndarray, bins: int = 10) -> float:
    """|observed share - mean probability| in bins of equal width, weighted by their counts (Naeini et al., 2015)."""
    observed, claimed = targets.ravel(), probabilities.ravel()
    if observed.size == 0:
        return float("nan")
    place = np.minimum((claimed * bins).astype(int), bins - 1)
    gaps = [
        abs(observed[place == b].mean() - claimed[place == b].mean()) * (place == b).mean() for b in np.unique(place)
    ]
    return float(np.sum(gaps))


def with_interval(
    metric: Metric,
    targets: np.ndarray,
    probabilities: np.ndarray,
    patients: Sequence[str],
    *,
    resamples: int = 500,
    seed: int = 0,
) -> Estimate:
    """A metric and the 2.5 and 97.5 percentiles over bootstrap samples of whole patients."""
    value = metric(targets, probabilities)
    names, inverse = np.unique(np.asarray(patients), return_inverse=True)
    if np.isnan(value) or len(names) < 2:
        return Estimate(value, float("nan"), float("nan"))
    rows_of = [np.nonzero(inverse == i)[0] for i in range(len(names))]
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(resamples):
        rows = np.concatenate([rows_of[i] for i in rng.integers(len(names), size=len(names))])
        drawn.append(metric(targets[rows], probabilities[rows]))
    defined = np.array(drawn)[~np.isnan(drawn)]
    if defined.size < resamples // 2:
        return Estimate(value, float("nan"), float("nan"))
    low, high = np.percentile(defined, [2.5, 97.5])
    return Estimate(value, float(low), float(high))
