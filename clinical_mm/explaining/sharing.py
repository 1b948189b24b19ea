"""Sharing a modality's contribution out by weights that say where, but not how much."""

from __future__ import annotations

import torch
from torch import Tensor


def in_proportion(share: float, weights: Tensor) -> Tensor:
    """``share`` in proportion to ``weights`` >= 0; evenly where they are all zero."""
    total = float(weights.sum())
    if total <= 0:
        return torch.full_like(weights, share / weights.numel())
    return share / total * weights
