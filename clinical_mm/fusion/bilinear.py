"""Bilinear: every product of one feature a modality counts, through a low-rank tensor.

    z = sum over ranks r of  prod over present m of (W_m^r h_m + 1)

The full outer product of the modalities' states has D^M entries; its weights are taken as a sum of ``rank`` products.
The 1 keeps each modality's own terms beside the products; what is absent multiplies by 1.
Source: low-rank multimodal fusion, Liu et al., 2018 (arXiv:1806.00064), of the tensor fusion of Zadeh et al., 2017.
Shapes: B cases, M modalities, R ranks, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from clinical_mm.fusion.base import Fused, Fusion, FusionOptions, Pooling, equal_weights
from clinical_mm.modalities.base import Tokens


class BilinearOptions(FusionOptions):
    """``rank``: how many products are summed."""

    rank: int = Field(8, ge=1)


class Bilinear(Fusion):
    """Low-rank tensor fusion."""

    def __init__(self, widths: Mapping[str, int], options: Mapping[str, Any]) -> None:
        super().__init__(widths, options)
        chosen = BilinearOptions.model_validate(options)
        self.width = chosen.width
        self.pool = Pooling(widths, chosen.width, chosen.dropout)
        spread = chosen.width**-0.5
        self.factors = nn.Parameter(torch.randn(len(widths), chosen.rank, chosen.width, chosen.width) * spread)
        self.norm = nn.LayerNorm(chosen.width)

    def forward(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> Fused:
        """The sum of products; equal weights, since a product has no shares."""
        pooled_BMD = self.pool(tokens, present_BM)
        factors_BMRD = torch.einsum("bmd,mrde->bmre", pooled_BMD, self.factors) + 1
        return Fused(self.norm(factors_BMRD.prod(1).sum(1)), equal_weights(present_BM, pooled_BMD))
