"""Gradient balance between modalities, so that one that is quick to learn does not silence a slow one.

Each modality is also judged alone. One that alone already tells more than the others do gets its encoder's gradient
scaled by k = 1 - tanh(alpha (rho - 1)), rho = what it tells / the mean of what the others tell; the others keep theirs.
What a modality tells is how far its loss alone lies below the loss of knowing nothing but the diagnoses' shares.
Source: on-the-fly gradient modulation, Peng et al., 2022 (arXiv:2203.15332), with information in place of its softmax
score, which diagnoses that may co-occur do not have.
Shapes: B cases, K diagnoses, M modalities.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from clinical_mm.modalities.base import Tokens
from clinical_mm.network import MultimodalNetwork
from clinical_mm.training.losses import Loss

SMOOTHING = 0.9
"""What a modality tells is averaged over steps: one batch is too noisy to slow a modality down."""


class GradientBalance:
    """Keeps count of what each modality tells alone; scales gradients between ``backward`` and the optimizer's step."""

    def __init__(self, alpha: float, names: tuple[str, ...], knowing_nothing: float) -> None:
        """``knowing_nothing``: the loss of the diagnoses' shares in the training part."""
        self.alpha = alpha
        self.told = dict.fromkeys(names, 0.0)
        self._nothing = knowing_nothing

    def listen(
        self,
        network: MultimodalNetwork,
        tokens: Mapping[str, Tokens],
        present_BM: Tensor,
        targets_BK: Tensor,
        loss: Loss,
    ) -> None:
        """Judge each modality alone on the cases of a batch that have it."""
        for column, name in enumerate(network.names):
            rows = present_BM[:, column].nonzero()[:, 0]
            if not len(rows):
                continue
            alone_BM = torch.zeros_like(present_BM[rows])
            alone_BM[:, column] = True
            theirs = {n: Tokens(t.tokens_BND[rows].detach(), t.mask_BN[rows]) for n, t in tokens.items()}
            with torch.no_grad():
                found = float(loss(network.join(theirs, alone_BM).logits_BK.float(), targets_BK[rows]))
            self.told[name] = SMOOTHING * self.told[name] + (1 - SMOOTHING) * max(0.0, self._nothing - found)

    def factors(self) -> dict[str, float]:
        """How much of its gradient each modality's encoder keeps, in (0, 1]."""
        if len(self.told) < 2:
            return dict.fromkeys(self.told, 1.0)
        kept = {}
        for name, told in self.told.items():
            others = [value for other, value in self.told.items() if other != name]
            rho = told / max(sum(others) / len(others), 1e-3)
            kept[name] = 1 - math.tanh(self.alpha * (rho - 1)) if rho > 1 else 1.0
        return kept

    def scale(self, network: MultimodalNetwork) -> None:
        """Scale the encoders' gradients in place."""
        for name, factor in self.factors().items():
            for parameter in network.encoders[name].parameters():
                if factor < 1 and parameter.grad is not None:
                    parameter.grad.mul_(factor)
