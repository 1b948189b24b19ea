"""Gated: each case decides how much each modality counts, by a gate over its state.

Source: gated multimodal units, Arevalo et al., 2017 (arXiv:1702.01992), with a softmax over the modalities present.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from clinical_mm.fusion.base import Fused, Fusion, FusionOptions, Pooling
from clinical_mm.modalities.base import Tokens


class Gated(Fusion):
    """A linear gate on each modality's state, soft-maxed over what is present."""

    def __init__(self, widths: Mapping[str, int], options: Mapping[str, Any]) -> None:
        super().__init__(widths, options)
        chosen = FusionOptions.model_validate(options)
        self.width = chosen.width
        self.pool = Pooling(widths, chosen.width, chosen.dropout)
        self.gate = nn.Linear(chosen.width, 1)

    def forward(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> Fused:
        """The gated mean of the modalities' states."""
        pooled_BMD = self.pool(tokens, present_BM)
        scores_BM = self.gate(pooled_BMD).squeeze(-1).masked_fill(~present_BM, float("-inf"))
        weights_BM = scores_BM.softmax(1)
        return Fused((weights_BM.unsqueeze(-1) * pooled_BMD).sum(1), weights_BM)
