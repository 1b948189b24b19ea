"""Late: each modality is judged by itself and the verdicts' log-odds are added, as in naive Bayes.

Each modality's state stands in its own columns, so that the linear head is a head for each: the logits are a sum with
one term a modality, and no interaction between modalities can be told. How much each verdict counts is learned last,
from cases that taught none of them (training/stacking.py). A baseline that says what joining earlier is worth, and with
few cases the safest choice.
Shapes: B cases, M modalities, D width of one modality's state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn, ones, stack

from clinical_mm.fusion.base import Fused, Fusion, FusionOptions, Pooling, equal_weights
from clinical_mm.modalities.base import Tokens


class Late(Fusion):
    """One verdict a modality, added."""

    scale: Tensor

    def __init__(self, widths: Mapping[str, int], options: Mapping[str, Any]) -> None:
        super().__init__(widths, options)
        chosen = FusionOptions.model_validate(options)
        self.width = chosen.width * len(widths)
        self.pool = Pooling(widths, chosen.width, chosen.dropout)
        self.judge = nn.ModuleList(
            nn.Sequential(nn.Linear(chosen.width, chosen.width), nn.GELU()) for _ in range(len(widths))
        )
        self.scale = ones(len(widths))

    def rows(self) -> dict[str, tuple[str, ...]]:
        """A modality's scale."""
        return {"scale": self.names}

    def forward(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> Fused:
        """Verdicts side by side, zeros where a modality is absent; weights in proportion to their scale."""
        pooled_BMD = self.pool(tokens, present_BM)
        verdicts_BMD = stack([judge(pooled_BMD[:, m]) for m, judge in enumerate(self.judge)], dim=1)
        verdicts_BMD = verdicts_BMD.masked_fill(~present_BM.unsqueeze(-1), 0) * self.scale.unsqueeze(-1)
        return Fused(verdicts_BMD.flatten(1), equal_weights(present_BM, pooled_BMD, self.scale))
