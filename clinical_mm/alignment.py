"""One semantic space for all modalities: what belongs to one case lies close together, whatever it was read from.

    u_m = unit vector of project_m(mean token of modality m)
    contrastive      for each pair (m, n): a case's u_m should find its own u_n among those of the batch
    reconstruction   from u_m alone, predict the mean token of each other modality n (a correspondence autoencoder)

Neither needs a label. A case's place in the space is the mean of its modalities' vectors: close cases are similar.
Source: symmetric contrastive loss, Radford et al., 2021 (arXiv:2103.00020) and Zhang et al., 2020 (arXiv:2010.00747);
correspondence autoencoder, Feng et al., 2014.
Shapes: B cases, N tokens, D token width of a modality, M modalities, W width of the space.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clinical_mm.config import AlignmentConfig
from clinical_mm.modalities.base import Tokens

SMALLEST_BATCH = 4
"""Fewer cases that have both modalities of a pair tell nothing: there is hardly another one to confuse them with."""


@dataclass(frozen=True)
class AlignmentLoss:
    """Both parts, and their sum as it is trained on."""

    contrastive: Tensor
    reconstruction: Tensor
    total: Tensor


class Aligner(nn.Module):
    """Projects every modality into the space; trained before the fusion is."""

    def __init__(self, widths: Mapping[str, int], options: AlignmentConfig) -> None:
        """``widths``: token width of each modality."""
        super().__init__()
        self.names = tuple(widths)
        self.width = width = options.width
        self.kept = options.kept
        self._temperature, self._reconstruction = options.temperature, options.reconstruction
        self.project = nn.ModuleDict(
            {
                name: nn.Sequential(nn.LayerNorm(d), nn.Linear(d, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
                for name, d in widths.items()
            }
        )
        self.rebuild = nn.ModuleDict({name: nn.Linear(width, d) for name, d in widths.items()})

    def forward(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> Tensor:
        """Unit vectors ``[B, M, W]``; zero where a modality is absent."""
        vectors = []
        for column, name in enumerate(self.names):
            vector_BW = F.normalize(self.project[name](mean_token(tokens[name])), dim=1)
            vectors.append(vector_BW.masked_fill(~present_BM[:, column, None], 0))
        return torch.stack(vectors, dim=1)

    def place(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> Tensor:
        """One unit vector a case, ``[B, W]``."""
        return F.normalize(self(tokens, present_BM).sum(1), dim=1)

    def loss(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> AlignmentLoss:
        """Over every pair of modalities that enough cases of the batch have both of; zero where there is none."""
        vectors_BMW = self(tokens, present_BM)
        contrastive, reconstruction = [vectors_BMW.sum() * 0], [vectors_BMW.sum() * 0]
        for (a, _), (b, other) in permutations(list(enumerate(self.names)), 2):
            rows = (present_BM[:, a] & present_BM[:, b]).nonzero()[:, 0]
            if len(rows) < SMALLEST_BATCH:
                continue
            one, two = vectors_BMW[rows, a], vectors_BMW[rows, b]
            contrastive.append(F.cross_entropy(one @ two.T / self._temperature, torch.arange(len(rows)).to(rows)))
            wanted = _standard(mean_token(tokens[other])[rows].detach())
            reconstruction.append(F.smooth_l1_loss(self.rebuild[other](one), wanted))
        pairs = max(1, len(contrastive) - 1)
        found, rebuilt = torch.stack(contrastive).sum() / pairs, torch.stack(reconstruction).sum() / pairs
        return AlignmentLoss(found, rebuilt, found + self._reconstruction * rebuilt)


def mean_token(tokens: Tokens) -> Tensor:
    """The mean of the real tokens, ``[B, D]``; zero where there is none."""
    mask_BN1 = tokens.mask_BN.unsqueeze(-1)
    return tokens.tokens_BND.masked_fill(~mask_BN1, 0).sum(1) / mask_BN1.sum(1).clamp(min=1)


def retrieval(one_NW: Tensor, two_NW: Tensor, first: int) -> float:
    """Share of cases whose own vector is among the ``first`` closest of the other modality; chance is first / N."""
    similarity_NN = one_NW @ two_NW.T
    ranks_N = (similarity_NN > similarity_NN.diagonal().unsqueeze(1)).sum(1)
    return float((ranks_N < first).float().mean())


def _standard(states_BD: Tensor) -> Tensor:
    """Each feature to zero mean and unit spread over the batch, so that no wide one rules the loss."""
    return (states_BD - states_BD.mean(0)) / (states_BD.std(0) + 1e-4)
