"""Metrics of weighted cases, for many weightings at once: what a bootstrap needs, in one pass over the sorted scores.

A bootstrap sample is a weighting: how often each case was drawn. Each function takes ``targets`` in 0/1, ``scores`` and
``weights[R, N]``, and gives ``float[R]``, NaN where the metric is not defined. With weights of 1 they are those of
scikit-learn.
Shapes: R weightings, N cases, K diagnoses, G distinct scores.
"""

from __future__ import annotations

import numpy as np

BINS = 10
LEAST_PROBABILITY = 1e-6
"""Stored answers have six digits: a probability of 0 is below this, and its logarithm no number."""


def auroc(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of ``targets[N]``: the Mann-Whitney statistic, ties shared."""
    positive_RG, negative_RG = _by_score(targets, scores, weights)
    below_RG = negative_RG.cumsum(1) - negative_RG
    won_R = (positive_RG * (below_RG + negative_RG / 2)).sum(1)
    return _ratio(won_R, positive_RG.sum(1) * negative_RG.sum(1))


def average_precision(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the precision-recall curve of ``targets[N]`` in steps, as scikit-learn defines it."""
    positive_RG, negative_RG = (part[:, ::-1] for part in _by_score(targets, scores, weights))
    found_RG = positive_RG.cumsum(1)
    precision_RG = found_RG / np.maximum(found_RG + negative_RG.cumsum(1), 1e-12)
    return _ratio((positive_RG * precision_RG).sum(1), positive_RG.sum(1))


def sensitivity_at(specificity: float, targets: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Highest sensitivity of any threshold on ``scores[N]`` whose specificity is at least that."""
    positive_RG, negative_RG = (part[:, ::-1] for part in _by_score(targets, scores, weights))
    alarms_RG, negatives_R1 = negative_RG.cumsum(1), negative_RG.sum(1, keepdims=True)
    allowed_RG = alarms_RG <= (1 - specificity) * negatives_R1 + 1e-9
    found_R = np.where(allowed_RG, positive_RG.cumsum(1), 0).max(1, initial=0)
    return np.where(negatives_R1[:, 0] > 0, _ratio(found_R, positive_RG.sum(1)), np.nan)


def f1(targets: np.ndarray, decided: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """2 TP / (2 TP + FP + FN) of ``decided[N]`` in 0/1; NaN where nothing is positive and nothing decided."""
    return _ratio(2 * weights @ (targets * decided), weights @ (targets + decided))


def sensitivity(targets: np.ndarray, decided: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of the positive ``targets[N]`` that ``decided[N]`` holds."""
    return _ratio(weights @ (targets * decided), weights @ targets)


def specificity(targets: np.ndarray, decided: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of the negative ``targets[N]`` that ``decided[N]`` leaves out."""
    return _ratio(weights @ ((1 - targets) * (1 - decided)), weights @ (1 - targets))


def brier(targets: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean squared error of ``probabilities[N]`` or ``[N, K]``."""
    squares_N = ((probabilities - targets) ** 2).reshape(len(targets), -1).mean(1)
    return _ratio(weights @ squares_N, weights.sum(1))


def log_loss(targets: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean of -ln of the probability given to what is true, of ``probabilities[N]`` or ``[N, K]``; lower is better.

    Each diagnosis is a yes or no of its own, as in ``brier``.
    """
    held = np.where(targets > 0, probabilities, 1 - probabilities)
    losses_N = -np.log(np.maximum(held, LEAST_PROBABILITY)).reshape(len(targets), -1).mean(1)
    return _ratio(weights @ losses_N, weights.sum(1))


def calibration_error(targets: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Expected calibration error of ``[N]`` or ``[N, K]``: |observed share - mean probability| in bins of equal width.

    Bins are weighted by their counts. Source: Naeini et al., 2015.
    """
    off_NK = (targets - probabilities).reshape(len(targets), -1)
    place_NK = np.minimum((probabilities * BINS).astype(int), BINS - 1).reshape(off_NK.shape)
    off_NG = np.stack([np.where(place_NK == b, off_NK, 0).sum(1) for b in range(BINS)], axis=1)
    return _ratio(np.abs(weights @ off_NG).sum(1), weights.sum(1) * max(off_NK.shape[1], 1))


def _by_score(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weight of positives and of negatives at each distinct score, lowest first: ``[R, G]`` each."""
    if len(scores) == 0:
        empty = np.zeros((len(weights), 0))
        return empty, empty
    order = np.argsort(scores, kind="stable")
    ordered, weights_RN = scores[order], weights[:, order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    positive_RN = weights_RN * (targets[order] > 0)
    positive_RG, all_RG = (np.add.reduceat(part, starts, axis=1) for part in (positive_RN, weights_RN))
    return positive_RG, all_RG - positive_RG


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    defined = below > 0
    return np.asarray(np.where(defined, above / np.where(defined, below, 1), np.nan))
