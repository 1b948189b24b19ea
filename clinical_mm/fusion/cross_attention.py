"""Cross-attention: a few learned queries attend over the tokens of all modalities that are present.

The weights alpha_m are the attention mass that the last layer's queries lay on modality m, averaged over heads and
queries; they sum to 1 over what is present.
Source: learned queries over a token set follow Perceiver (Jaegle et al., 2021) and Set Transformer (Lee et al., 2019).
Shapes: B cases, N tokens of all modalities together, Q queries, D width, M modalities.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from clinical_mm.fusion.base import Fused, Fusion, FusionOptions, once
from clinical_mm.modalities.base import Tokens


class CrossAttentionOptions(FusionOptions):
    """``queries`` learned queries through ``layers`` layers of ``heads`` heads."""

    queries: int = Field(4, ge=1)
    layers: int = Field(2, ge=1)
    heads: int = Field(4, ge=1)


class CrossAttention(Fusion):
    """The default fusion."""

    attends = True

    def __init__(self, widths: Mapping[str, int], options: Mapping[str, Any]) -> None:
        super().__init__(widths, options)
        chosen = CrossAttentionOptions.model_validate(options)
        self.width = chosen.width
        self.project = nn.ModuleDict(
            {n: nn.Sequential(nn.LayerNorm(d), nn.Linear(d, chosen.width)) for n, d in widths.items()}
        )
        self.kind = nn.Parameter(torch.randn(len(widths), chosen.width) * 0.02)
        self.queries = nn.Parameter(torch.randn(chosen.queries, chosen.width) * 0.02)
        self.layers = nn.ModuleList(_Layer(chosen.width, chosen.heads, chosen.dropout) for _ in range(chosen.layers))
        self.norm = nn.LayerNorm(chosen.width)

    def rows(self) -> dict[str, tuple[str, ...]]:
        """A modality's kind."""
        return {"kind": self.names}

    def forward(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> Fused:
        """Pooled state and attention mass a modality."""
        queries_BQD, attentions = self._attend(tokens, present_BM)
        mass = [part.sum(1) for part in self._by_modality(attentions[-1], tokens)]
        return Fused(self.norm(queries_BQD).mean(1), torch.stack(mass, dim=1))

    def flow(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> dict[str, Tensor]:
        """Attention rollout: half of a layer's state is what it attended to, half is what was before."""
        _, attentions = self._attend(tokens, present_BM)
        flow_BN = torch.zeros_like(attentions[0])
        for attention_BN in attentions:
            flow_BN = (flow_BN + attention_BN) / 2
        return dict(zip(self.names, self._by_modality(flow_BN, tokens), strict=True))

    def _by_modality(self, over_BN: Tensor, tokens: Mapping[str, Tokens]) -> tuple[Tensor, ...]:
        return torch.split(over_BN, [tokens[name].mask_BN.shape[1] for name in self.names], dim=1)

    def _attend(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Queries after the last layer and the attention mass[B, N] of every layer."""
        states, masks, biases = [], [], []
        for column, name in enumerate(self.names):
            mine = tokens[name]
            states.append(once(self.project[name], mine.tokens_BND) + self.kind[column])
            masks.append(mine.mask_BN & present_BM[:, column, None])
            # Before anything is learned each modality is heard alike, however many tokens it brings.
            counts_B1 = masks[-1].sum(1, keepdim=True).clamp(min=1)
            biases.append((-counts_B1.to(states[-1].dtype).log()).masked_fill(~masks[-1], float("-inf")))
        tokens_BND, bias_BN = torch.cat(states, 1), torch.cat(biases, 1)
        queries_BQD = self.queries.expand(len(tokens_BND), -1, -1)
        attentions = []
        for layer in self.layers:
            queries_BQD, attention_BN = layer(queries_BQD, tokens_BND, bias_BN)
            attentions.append(attention_BN)
        return queries_BQD, attentions


class _Layer(nn.Module):
    """Pre-norm: queries attend over tokens, then over themselves through an MLP."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm_queries = nn.LayerNorm(width)
        self.norm_tokens = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries_BQD: Tensor, tokens_BND: Tensor, bias_BN: Tensor) -> tuple[Tensor, Tensor]:
        """New queries and the attention mass of each token, averaged over heads and queries (``[B, N]``)."""
        keys_BND = self.norm_tokens(tokens_BND)
        found_BQD, attention_BQN = self.attention(
            self.norm_queries(queries_BQD), keys_BND, keys_BND, key_padding_mask=bias_BN, need_weights=True
        )
        queries_BQD = queries_BQD + self.dropout(found_BQD)
        queries_BQD = queries_BQD + self.dropout(self.mlp(self.norm_mlp(queries_BQD)))
        return queries_BQD, attention_BQN.mean(1)
