"""Metrics as a reader of a paper expects them, each with a bootstrap interval clustered by patient.

Shapes: R bootstrap samples, N cases, K diagnoses.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from clinical_mm.evaluation import weighted

Weighted = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
RESAMPLES = 500


@dataclass(frozen=True)
class Metric:
    """``metric(targets, scores)`` is its value, NaN where it is not defined (one class alone, say).

    ``over`` gives ``float[R]`` for ``weights[R, N]``: all samples of a bootstrap at once.
    """

    over: Weighted

    def __call__(self, targets: np.ndarray, scores: np.ndarray) -> float:
        """The value over the cases as they are."""
        return float(self.over(targets, scores, np.ones((1, len(targets))))[0])


auroc = Metric(weighted.auroc)
average_precision = Metric(weighted.average_precision)
brier = Metric(weighted.brier)
log_loss = Metric(weighted.log_loss)
expected_calibration_error = Metric(weighted.calibration_error)
f1 = Metric(weighted.f1)
sensitivity = Metric(weighted.sensitivity)
specificity = Metric(weighted.specificity)


def sensitivity_at_specificity(specificity: float) -> Metric:
    """The sensitivity that is left where at most ``1 - specificity`` of the others raise an alarm."""
    return Metric(partial(weighted.sensitivity_at, specificity))


def macro(metric: Metric) -> Metric:
    """The mean over the diagnoses where it is defined, of ``targets[N, K]`` and ``scores[N, K]``."""

    def mean(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
        each = [metric.over(targets[:, k], scores[:, k], weights) for k in range(targets.shape[1])]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # the mean of nothing is NaN, as it should be
            return np.asarray(np.nanmean(np.stack(each), axis=0))

    return Metric(mean)


@dataclass(frozen=True)
class Estimate:
    """A metric with its 95 % interval; ``value`` is NaN where it is not defined (one class alone, say)."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, drawn: np.ndarray, confidence: float = 0.95) -> Estimate:
        """The percentiles of ``drawn[R]`` at both ends; no interval where half of them are not defined."""
        defined = drawn[~np.isnan(drawn)]
        if np.isnan(value) or defined.size == 0 or defined.size < len(drawn) // 2:
            return cls(value, float("nan"), float("nan"))
        outside = 50 * (1 - confidence)
        low, high = np.percentile(defined, [outside, 100 - outside])
        return cls(value, float(low), float(high))

    def __str__(self) -> str:
        if np.isnan(self.value):
            return "n/a"
        return f"{self.value:.3f} [{self.low:.3f}-{self.high:.3f}]"

    def to_json(self) -> dict[str, float | None]:
        """Plain data; what is not defined is null."""
        parts = {"value": self.value, "low": self.low, "high": self.high}
        return {key: None if np.isnan(part) else round(float(part), 4) for key, part in parts.items()}


class Bootstrap:
    """Samples of whole patients, the same for every metric that is asked, so that differences are paired."""

    def __init__(self, patients: Sequence[str], resamples: int = RESAMPLES, seed: int = 0) -> None:
        names, inverse = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
        drawn = np.full((resamples, len(names)), np.nan)  # one patient alone: nothing to resample
        if len(names) > 1:
            shares = np.full(len(names), 1 / len(names))
            drawn = np.random.default_rng(seed).multinomial(len(names), shares, resamples).astype(float)
        self.weights_RN = drawn[:, inverse]

    def estimate(
        self, metric: Metric, targets: np.ndarray, scores: np.ndarray, rows: np.ndarray | None = None
    ) -> Estimate:
        """A metric and its interval, over all cases or over those of ``bool[N]`` rows."""
        chosen = np.ones(len(targets), bool) if rows is None else rows
        value = metric(targets[chosen], scores[chosen])
        return Estimate.of(value, self.drawn(metric, targets, scores, chosen))

    def difference(self, metric: Metric, targets: np.ndarray, scores: np.ndarray, rows: np.ndarray) -> Estimate:
        """A metric over the cases of ``bool[N]`` rows minus the same over the others."""
        value = metric(targets[rows], scores[rows]) - metric(targets[~rows], scores[~rows])
        inside, outside = (self.drawn(metric, targets, scores, part) for part in (rows, ~rows))
        return Estimate.of(value, inside - outside)

    def drawn(self, metric: Metric, targets: np.ndarray, scores: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """``float[R]``: the metric in each sample, over the cases of ``bool[N]`` rows."""
        weights_RN = self.weights_RN[:, rows]
        if np.isnan(weights_RN).any():
            return np.full(len(weights_RN), np.nan)
        return metric.over(targets[rows], scores[rows], weights_RN)


def with_interval(
    metric: Metric,
    targets: np.ndarray,
    scores: np.ndarray,
    patients: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """A metric and the 2.5 and 97.5 percentiles over bootstrap samples of whole patients."""
    return Bootstrap(patients, resamples, seed).estimate(metric, targets, scores)
