"""Integrated gradients of each modality's marginal, along the straight path from its baseline.

The path starts at pixels and values; for a deep text encoder at the word pieces' states, so that it runs once. What the
attributions of a piece of the path should sum to is known: the difference of its ends. Pieces that miss it most, where
a network bends, are halved until all together miss at most 1 % of how far the case moves the log-odds.
Source: Sundararajan et al., 2017 (arXiv:1703.01365), through Captum, with Gauss-Legendre quadrature.
Shapes: P pieces of the path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from clinical_mm.explaining.base import Additive, Attributions, scale
from clinical_mm.explaining.marginal import Leaf, Marginal

TOLERANCE = 0.01
STEPS, FIRST_PIECES, MOST_PIECES = 4, 2, 128
"""Steps of a piece, and pieces of a path."""


class IntegratedGradients(Additive):
    """Path integral of gradients."""

    name = "integrated_gradients"
    display = "Integrated gradients"

    def attribute(self, marginal: Marginal) -> Attributions:
        """Attributions of the marginal along the path; the presence is the baseline's own worth."""
        return along_path(marginal, marginal.leaf())


@dataclass(frozen=True)
class _Piece:
    """From ``low`` to ``high`` of the path, 0 = baseline and 1 = case, with the marginal at both ends."""

    low: float
    high: float
    at_low: float
    at_high: float
    found: Tensor

    @property
    def missed(self) -> float:
        """What the attributions lack of the difference of the ends."""
        return self.at_high - self.at_low - float(self.found.sum())


def along_path(marginal: Marginal, leaf: Leaf) -> Attributions:
    """Integrated gradients of a leaf, with as many pieces of the path as the tolerance asks for."""
    allowed = TOLERANCE * scale(marginal.question) / len(marginal.question.there)
    pieces = _pieces(leaf, [step / FIRST_PIECES for step in range(FIRST_PIECES + 1)])
    while abs(sum(piece.missed for piece in pieces)) > allowed and len(pieces) < MOST_PIECES:
        worst = max(abs(piece.missed) for piece in pieces)
        bad = [piece for piece in pieces if abs(piece.missed) >= worst / 4]
        pieces = [piece for piece in pieces if abs(piece.missed) < worst / 4] + _halves(leaf, bad)
    total = torch.stack([piece.found for piece in pieces]).sum(0)
    return Attributions(leaf.spread(total), min(pieces, key=lambda p: p.low).at_low - marginal.without)


def _pieces(leaf: Leaf, places: Sequence[float]) -> list[_Piece]:
    """The pieces between neighbouring places."""
    worth = _worth(leaf, places)
    ends = list(zip(places, worth, strict=True))
    return _measured(leaf, [(*low, *high) for low, high in pairwise(ends)])


def _halves(leaf: Leaf, pieces: Sequence[_Piece]) -> list[_Piece]:
    middles = [(piece.low + piece.high) / 2 for piece in pieces]
    ends = [
        half
        for piece, middle, worth in zip(pieces, middles, _worth(leaf, middles), strict=True)
        for half in ((piece.low, piece.at_low, middle, worth), (middle, worth, piece.high, piece.at_high))
    ]
    return _measured(leaf, ends)


def _worth(leaf: Leaf, places: Sequence[float]) -> list[float]:
    """The marginal at places of the path."""
    found: list[float] = []
    with torch.no_grad():
        for start in range(0, len(places), leaf.rows):
            found += leaf.forward(_on_path(leaf, places[start : start + leaf.rows])).tolist()
    return found


def _measured(leaf: Leaf, ends: Sequence[tuple[float, float, float, float]]) -> list[_Piece]:
    """Pieces from (low, marginal there, high, marginal there), by the quadrature of a few steps each."""
    from captum.attr import IntegratedGradients as CaptumIntegratedGradients

    method, at_once = CaptumIntegratedGradients(leaf.forward), max(1, leaf.rows // STEPS)
    pieces: list[_Piece] = []
    for start in range(0, len(ends), at_once):
        part = ends[start : start + at_once]
        found: Tensor = method.attribute(
            _on_path(leaf, [high for _, _, high, _ in part]),
            _on_path(leaf, [low for low, _, _, _ in part]),
            n_steps=STEPS,
            method="gausslegendre",
            internal_batch_size=max(leaf.rows, len(part)),
        )
        measured = zip(part, torch.split(found.detach(), 1), strict=True)
        pieces += [_Piece(low, high, at_low, at_high, piece) for (low, at_low, high, at_high), piece in measured]
    return pieces


def _on_path(leaf: Leaf, places: Sequence[float]) -> Tensor:
    along = torch.tensor(places, dtype=leaf.case.dtype, device=leaf.case.device)
    along = along.view(-1, *[1] * (leaf.case.ndim - 1))
    return leaf.baseline + along * (leaf.case - leaf.baseline)
