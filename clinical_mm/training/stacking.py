"""How much each modality's verdict counts, where a fusion adds verdicts up: learned from the cases that validated.

    logits = bias + shift + sum of scale_m verdict_m, scale_m >= 0

What a modality learned by heart speaks loudly on cases that taught it; on others its verdicts are noise, and its scale
falls towards 0. A weak pull to 1 keeps a handful of cases from saying much.
Source: stacked generalization, Wolpert, 1992; its weights not below 0, Breiman, 1996 (Stacked regressions).
Shapes: N cases, K diagnoses, M modalities.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from clinical_mm.training.fit import Fit

FEWEST, LARGEST_SCALE = 10, 3.0


def stack(members: Sequence[Fit], kind: str) -> None:
    """Set scale and head's bias of each of these trained networks, in place; nothing where verdicts do not add."""
    rows = [list(fit.split.validation) for fit in members]
    if any(fit.network.fusion.scale is None for fit in members) or sum(map(len, rows)) < FEWEST:
        return
    verdicts_MNK = np.concatenate([_verdicts(fit, mine) for fit, mine in zip(members, rows, strict=True)], axis=1)
    base_NK = np.concatenate([np.tile(_bias(fit), (len(mine), 1)) for fit, mine in zip(members, rows, strict=True)])
    targets_NK = members[0].data.targets[[row for mine in rows for row in mine]]
    scale_M, shift_K = weigh(verdicts_MNK, base_NK, targets_NK, kind)
    for fit in members:
        assert fit.network.fusion.scale is not None  # noqa: S101 - looked at above
        bias = fit.network.head.get_parameter("1.bias")
        with torch.no_grad():
            fit.network.fusion.scale.copy_(torch.from_numpy(scale_M))
            bias.add_(torch.from_numpy(shift_K).to(bias))


def weigh(
    verdicts_MNK: np.ndarray, base_NK: np.ndarray, targets_NK: np.ndarray, kind: str
) -> tuple[np.ndarray, np.ndarray]:
    """``scale[M]`` and ``shift[K]`` that make 0/1 targets most probable; ``kind``: exclusive or co-occurring."""
    from scipy.optimize import minimize
    from scipy.special import expit, log_expit, logsumexp, softmax

    count = len(verdicts_MNK)

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        scale_M, shift_K = values[:count], values[count:]
        logits_NK = base_NK + shift_K + np.tensordot(scale_M, verdicts_MNK, axes=1)
        if kind == "exclusive":
            found = -(targets_NK * logits_NK).sum() + logsumexp(logits_NK, axis=1).sum()
            off_NK = softmax(logits_NK, axis=1) - targets_NK
        else:
            found = -(targets_NK * log_expit(logits_NK) + (1 - targets_NK) * log_expit(-logits_NK)).sum()
            off_NK = expit(logits_NK) - targets_NK
        pull = 0.5 * ((scale_M - 1) ** 2).sum() + 0.5 * (shift_K**2).sum()
        slope = np.concatenate([(verdicts_MNK * off_NK).sum((1, 2)) + scale_M - 1, off_NK.sum(0) + shift_K])
        return float(found + pull), slope

    start = np.concatenate([np.ones(count), np.zeros(targets_NK.shape[1])])
    bounds = [(0.0, LARGEST_SCALE)] * count + [(None, None)] * targets_NK.shape[1]
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return best[:count].astype(np.float32), best[count:].astype(np.float32)


def _verdicts(fit: Fit, rows: Sequence[int]) -> np.ndarray:
    """What each modality alone adds to the logits of these cases, ``float64[M, N, K]``; 0 where it is absent."""
    there = fit.data.present[list(rows)]
    found = [
        np.where(there[:, column, None], fit.logits(rows, (name,)) - _bias(fit), 0)
        for column, name in enumerate(fit.network.names)
    ]
    return np.stack(found).astype(np.float64)


def _bias(fit: Fit) -> np.ndarray:
    return fit.network.head.get_parameter("1.bias").detach().cpu().numpy().astype(np.float64)
