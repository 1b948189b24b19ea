"""Weighted average: z = sum of alpha_m z_m over the modalities present, alpha the same for every case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from clinical_mm.fusion.base import Fused, Fusion, FusionOptions, Pooling
from clinical_mm.modalities.base import Tokens


class Weighted(Fusion):
    """One learned scalar a modality, soft-maxed over what is present."""

    def __init__(self, widths: Mapping[str, int], options: Mapping[str, Any]) -> None:
        super().__init__(widths, options)
        chosen = FusionOptions.model_validate(options)
        self.width = chosen.width
        self.pool = Pooling(widths, chosen.width, chosen.dropout)
        self.scores = nn.Parameter(torch.zeros(len(widths)))

    def rows(self) -> dict[str, tuple[str, ...]]:
        """A modality's score."""
        return {"scores": self.names}

    def forward(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> Fused:
        """The weighted mean of the modalities' states."""
        scores_BM = self.scores.expand(present_BM.shape).masked_fill(~present_BM, float("-inf"))
        weights_BM = scores_BM.softmax(1)
        return Fused((weights_BM.unsqueeze(-1) * self.pool(tokens, present_BM)).sum(1), weights_BM)
