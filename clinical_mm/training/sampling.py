"""Which training cases an epoch shows: each once, or drawn so that rare diagnoses are seen as often as common ones.

Shapes: N training cases, K diagnoses.
"""

from __future__ import annotations

import numpy as np
import torch

RAREST = 0.02
"""A diagnosis is drawn as if at least this share had it: a handful of cases must not fill every epoch."""


def case_weights(targets: np.ndarray) -> np.ndarray:
    """How often each case is drawn, relative: by the rarest of what it has, ``float64[N]`` from 0/1 ``targets[N, K]``.

    Cases with none of the diagnoses count as a class of their own.
    """
    none = ~targets.any(1, keepdims=True)
    classes = np.concatenate([targets.astype(bool), none], axis=1)
    rarity = 1 / np.maximum(classes.mean(0), RAREST)
    return np.asarray((classes * rarity).max(1))


def draw_order(count: int, weights: np.ndarray | None, generator: torch.Generator) -> np.ndarray:
    """Positions of an epoch's cases: a permutation of ``count``, or as many draws with replacement by ``weights``."""
    if weights is None:
        return torch.randperm(count, generator=generator).numpy()
    return torch.multinomial(torch.from_numpy(weights), count, replacement=True, generator=generator).numpy()


def log_odds_shift(targets: np.ndarray, weights: np.ndarray | None, kind: str) -> np.ndarray:
    """How far drawing by ``weights`` moves each diagnosis' prior log-odds (exclusive: log share), ``float[K]``.

    What the model learned too much is this; it is taken back from the head's bias.
    Source: prior correction, King and Zeng, 2001.
    """
    if weights is None:
        return np.zeros(targets.shape[1])
    before = targets.mean(0).clip(1e-6, 1 - 1e-6)
    after = (weights / weights.sum() @ targets).clip(1e-6, 1 - 1e-6)
    if kind == "exclusive":
        return np.asarray(np.log(after / before))
    return np.asarray(np.log(after / (1 - after)) - np.log(before / (1 - before)))
