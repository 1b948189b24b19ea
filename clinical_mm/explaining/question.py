"""A question of why: one target of one case, asked of one model whose encoders have run once.

Subsets of the modalities that are present are the coalitions of a game. A subset is worth the calibrated log-odds of
the target where only these are let in; the empty one those of how often the training cases had the target.
A modality's share is its Shapley value, exact, so that shares sum to the case's log-odds minus the empty set's.
Source: Shapley, 1953; absent modalities as the trained missing state: Covert et al., 2021 (arXiv:2011.14878).
Shapes: B rows, M modalities, K diagnoses, N tokens of all modalities.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from clinical_mm.modalities.base import Batch, Tokens

if TYPE_CHECKING:
    from clinical_mm.case import Case
    from clinical_mm.predictor import Predictor

Subset = frozenset[str]

TOKENS_AT_ONCE = 32_768
"""Tokens that one pass of the fusion is given, so that a long note needs no more memory than a short one."""


@dataclass(frozen=True)
class Question:
    """``target`` of ``case``; ``baselines``: modality -> name of a baseline other than its encoder's first."""

    predictor: Predictor
    case: Case
    target: str
    baselines: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def batches(self) -> dict[str, Batch]:
        """Of each modality, one row."""
        return self._read[0]

    @property
    def present(self) -> Tensor:
        """Which modalities the case has, one row."""
        return self._read[1]

    @cached_property
    def there(self) -> tuple[str, ...]:
        """The modalities that the case has, in the model's order."""
        names = self.predictor.modalities
        return tuple(name for name, column in zip(names, self.present[0].tolist(), strict=True) if column)

    @cached_property
    def tokens(self) -> dict[str, Tokens]:
        """What the encoders make of the case; absent modalities keep one row of padding that is masked."""
        with torch.no_grad():
            return self.predictor.network.encode(self.batches)

    @cached_property
    def worth(self) -> dict[Subset, float]:
        """Log-odds of every subset of the modalities that are present."""
        subsets = [s for s in all_subsets(self.there) if s]
        with torch.no_grad():
            found = self.log_odds(self.tokens, subsets).tolist()
        return {frozenset(): self.prior, **dict(zip(subsets, found, strict=True))}

    @property
    def value(self) -> float:
        """Log-odds of the case as it is."""
        return self.worth[frozenset(self.there)]

    @cached_property
    def prior(self) -> float:
        """Log-odds of the target among the labelled cases that made the model, each side counted once more."""
        data = self.predictor.card["data"]
        having, labelled = data["by_diagnosis"][self.target], data["labelled_cases"]
        return math.log((having + 1) / (labelled - having + 1))

    def shares(self) -> dict[str, float]:
        """Exact Shapley value of each modality that is present."""
        return {
            name: sum(w * (self.worth[s | {name}] - self.worth[s]) for s, w in weighed_contexts(name, self.there))
            for name in self.there
        }

    def log_odds(self, tokens: Mapping[str, Tokens], subsets: Sequence[Subset]) -> Tensor:
        """Calibrated log-odds[B] of the target, row b with only ``subsets[b]`` let in; none of them empty.

        ``tokens`` have B rows or one, which then stands for all.
        """
        rows_at_once = max(1, TOKENS_AT_ONCE // sum(part.mask_BN.shape[1] for part in tokens.values()))
        found = []
        for start in range(0, len(subsets), rows_at_once):
            part = subsets[start : start + rows_at_once]
            found.append(self._log_odds(_rows(tokens, start, len(part), len(subsets)), part))
        return torch.cat(found)

    def _log_odds(self, tokens: Mapping[str, Tokens], subsets: Sequence[Subset]) -> Tensor:
        names = tuple(self.predictor.modalities)
        let_in = [[name in subset for name in names] for subset in subsets]
        present_BM = torch.tensor(let_in, dtype=torch.bool, device=self.predictor.device)
        calibration, position = self.predictor.calibration, self.predictor.diagnoses.index(self.target)
        scaled_BK = self.predictor.network.join(tokens, present_BM).logits_BK / calibration.temperature
        if calibration.kind == "co-occurring":
            return scaled_BK[:, position]
        others = torch.cat([scaled_BK[:, :position], scaled_BK[:, position + 1 :]], dim=1)
        return scaled_BK[:, position] - others.logsumexp(1)

    @cached_property
    def _read(self) -> tuple[dict[str, Batch], Tensor]:
        return self.predictor.batch([self.predictor.read(self.case)])


def all_subsets(names: Sequence[str]) -> Iterator[Subset]:
    """Every subset, smallest first."""
    return (frozenset(s) for size in range(len(names) + 1) for s in combinations(names, size))


def weighed_contexts(name: str, there: Sequence[str]) -> list[tuple[Subset, float]]:
    """The subsets without ``name``, each with its weight in the Shapley value of ``name``; weights sum to 1."""
    others, count = [other for other in there if other != name], len(there)
    weights = [math.factorial(s) * math.factorial(count - s - 1) / math.factorial(count) for s in range(count)]
    return [(subset, weights[len(subset)]) for subset in all_subsets(others)]


def _rows(tokens: Mapping[str, Tokens], start: int, count: int, of: int) -> dict[str, Tokens]:
    return {
        name: _part(part, start, count) if len(part.mask_BN) == of else _repeated(part, count)
        for name, part in tokens.items()
    }


def _part(tokens: Tokens, start: int, count: int) -> Tokens:
    return Tokens(tokens.tokens_BND[start : start + count], tokens.mask_BN[start : start + count])


def _repeated(tokens: Tokens, count: int) -> Tokens:
    return Tokens(tokens.tokens_BND.expand(count, -1, -1), tokens.mask_BN.expand(count, -1))
