"""Losses, re-weighted for class imbalance.

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


def make_loss(kind: str, weights: np.ndarray, device: torch.device) -> Loss:
    """The loss: (logits[B, K], 0/1 targets[B, K]) -> scalar.

    A weight w moves the best logit by ln w; ``fit`` takes that back from the head's bias after training, so that
    probabilities mean what they say.
    """
    weight = torch.from_numpy(weights).to(device)
    if kind == "co-occurring":
        return lambda logits, wanted: F.binary_cross_entropy_with_logits(logits, wanted, pos_weight=weight)
    return lambda logits, wanted: F.cross_entropy(logits, wanted.argmax(1), weight=weight)
