"""Concatenation: the modalities' mean states side by side, zeros where one is absent, then one layer.

Its weights are the presence itself, shared equally: concatenation has no notion of how much each counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, cat, nn

from clinical_mm.fusion.base import Fused, Fusion, FusionOptions, Pooling, equal_weights
from clinical_mm.modalities.base import Tokens


class Concat(Fusion):
    """Late joining by a linear layer over all modalities and their presence flags."""

    def __init__(self, widths: Mapping[str, int], options: Mapping[str, Any]) -> None:
        super().__init__(widths, options)
        chosen = FusionOptions.model_validate(options)
        self.width = chosen.width
        self.pool = Pooling(widths, chosen.width, chosen.dropout)
        # The flags tell an absent modality from one whose state happens to be zero.
        self.join = nn.Sequential(nn.Linear(len(widths) * (chosen.width + 1), chosen.width), nn.GELU())

    def rows(self) -> dict[str, tuple[str, ...]]:
        """Each row of the joining layer reads exactly these modalities, in this order: another choice fits nowhere."""
        return {"join.0.weight": tuple(f"{i} of {'+'.join(self.names)}" for i in range(self.width))}

    def forward(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> Fused:
        """Joined state; equal weights."""
        pooled_BMD = self.pool(tokens, present_BM)
        joined_BD = self.join(cat([pooled_BMD.flatten(1), present_BM.to(pooled_BMD.dtype)], dim=1))
        return Fused(joined_BD, equal_weights(present_BM, pooled_BMD))
