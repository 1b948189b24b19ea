"""The protocol of a fusion: tokens of each modality and what is present -> one state and the modalities' weights.

Shapes: B cases, N tokens, D width of the joined state, M modalities in the order of ``widths``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from clinical_mm.modalities.base import Tokens


@dataclass(frozen=True)
class Fused:
    """``pooled_BD`` and ``weights_BM``, which are >= 0, 0 for absent modalities and sum to 1."""

    pooled_BD: Tensor
    weights_BM: Tensor


class FusionOptions(BaseModel):
    """What every fusion's YAML options hold; one may add its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    width: int = Field(128, ge=8)
    dropout: float = Field(0.1, ge=0, lt=1)


class Fusion(nn.Module, ABC):
    """Joins modalities; what is absent has no influence at all on the result."""

    width: int
    """D of the joined state."""
    attends: bool = False
    """Whether it attends to single tokens, so that ``flow`` can tell how much of each reaches the answer."""
    scale: Tensor | None
    """``[M]``, how many times each modality counts, where verdicts add up: then training sets it (stacking.py)."""

    def __init__(self, widths: Mapping[str, int], options: Mapping[str, Any]) -> None:
        """``widths``: token width of each modality, in order; ``options``: this fusion's part of the YAML."""
        super().__init__()
        self.names = tuple(widths)
        self.register_buffer("scale", None)

    def rows(self) -> dict[str, tuple[str, ...]]:
        """The parameters whose rows each stand for something, a modality above all: parameter -> of what each row is.

        A model that starts from another takes such rows over by these names, not by their position.
        """
        return {}

    def flow(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> dict[str, Tensor]:
        """Of each modality how much of its tokens reaches the joined state, ``[B, N]`` >= 0; where it ``attends``."""
        raise NotImplementedError(f"{type(self).__name__} attends to no token")

    @abstractmethod
    def forward(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> Fused:
        """Join; every row of ``present_BM`` has at least one True."""


def once(layer: nn.Module, tokens_BND: Tensor) -> Tensor:
    """What a layer makes of tokens; computed once where all rows are one row expanded, as explanations give them."""
    if len(tokens_BND) > 1 and tokens_BND.stride(0) == 0:
        return torch.as_tensor(layer(tokens_BND[:1])).expand(len(tokens_BND), -1, -1)
    return torch.as_tensor(layer(tokens_BND))


class Pooling(nn.Module):
    """Mean of a modality's real tokens, brought to a common width: what the simpler fusions start from."""

    def __init__(self, widths: Mapping[str, int], width: int, dropout: float) -> None:
        super().__init__()
        self.project = nn.ModuleDict(
            {
                name: nn.Sequential(nn.LayerNorm(d), nn.Linear(d, width), nn.GELU(), nn.Dropout(dropout))
                for name, d in widths.items()
            }
        )

    def forward(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> Tensor:
        """pooled[B, M, D]; rows of absent modalities are exactly zero."""
        states = []
        for column, (name, project) in enumerate(self.project.items()):
            mask_BN1 = tokens[name].mask_BN.unsqueeze(-1)
            total_BD = tokens[name].tokens_BND.masked_fill(~mask_BN1, 0).sum(1)
            mean_BD = total_BD / mask_BN1.sum(1).clamp(min=1)
            states.append(project(mean_BD).masked_fill(~present_BM[:, column, None], 0))
        return torch.stack(states, dim=1)


def equal_weights(present_BM: Tensor, like: Tensor, scale_M: Tensor | None = None) -> Tensor:
    """``weights_BM`` over what is present: in proportion to a scale, equal without one or where it is 0 for all."""
    flags_BM = present_BM.to(like.dtype)
    if scale_M is not None:
        scaled_BM = flags_BM * scale_M
        flags_BM = torch.where(scaled_BM.sum(1, keepdim=True) > 0, scaled_BM, flags_BM)
    return flags_BM / flags_BM.sum(1, keepdim=True)
