"""Losses, re-weighted for class imbalance, and focused on what is hard where asked for.

Shapes: B cases, K diagnoses.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]

HEAVIEST = 10.0
"""A rare class counts at most so many times as much: one mislabelled case must not steer the whole model."""


def class_weights(kind: str, targets: np.ndarray, *, weighted: bool) -> np.ndarray:
    """How many times each diagnosis counts, from 0/1 ``targets[N, K]`` of the training part."""
    positives = targets.sum(0)
    if not weighted:
        return np.ones(targets.shape[1], dtype=np.float32)
    if kind == "co-occurring":
        ratio = np.sqrt((len(targets) - positives) / np.maximum(positives, 1))
        return np.asarray(np.clip(ratio, 1, HEAVIEST), dtype=np.float32)
    balance = len(targets) / (np.maximum(positives, 1) * targets.shape[1])
    return np.asarray(np.clip(balance, 1 / HEAVIEST, HEAVIEST), dtype=np.float32)


def make_loss(kind: str, weights: np.ndarray, device: torch.device, focus: float = 0.0) -> Loss:
    """The loss: (logits[B, K], 0/1 targets[B, K]) -> scalar.

    A weight w moves the best logit by ln w; ``fit`` takes that back from the head's bias after training, so that
    probabilities mean what they say.

    Args:
        kind: ``exclusive`` or ``co-occurring``.
        weights: how many times each diagnosis counts.
        device: where the logits will be.
        focus: gamma of the focal loss, which weighs what is right already down by (1 - p)^gamma; 0 = cross-entropy.
            Source: Lin et al., 2017 (arXiv:1708.02002).
    """
    weight = torch.from_numpy(weights).to(device)
    if kind == "co-occurring":
        return lambda logits, wanted: _binary(logits, wanted, weight, focus)
    return lambda logits, wanted: _exclusive(logits, wanted, weight, focus)


def _binary(logits_BK: Tensor, wanted_BK: Tensor, weight_K: Tensor, focus: float) -> Tensor:
    losses_BK = F.binary_cross_entropy_with_logits(logits_BK, wanted_BK, pos_weight=weight_K, reduction="none")
    if focus:
        missed_BK = (wanted_BK - logits_BK.sigmoid()).abs()
        losses_BK = losses_BK * missed_BK**focus
    return losses_BK.mean()


def _exclusive(logits_BK: Tensor, wanted_BK: Tensor, weight_K: Tensor, focus: float) -> Tensor:
    right_B = wanted_BK.argmax(1)
    if not focus:
        return F.cross_entropy(logits_BK, right_B, weight=weight_K)
    losses_B = F.cross_entropy(logits_BK, right_B, reduction="none")
    weights_B = weight_K[right_B]
    return (weights_B * (1 - (-losses_B).exp()) ** focus * losses_B).sum() / weights_B.sum()
