"""What one modality adds, as a function of that modality alone: the scalar that every explainer attributes.

    marginal(x) = sum over the subsets S of the other modalities of weight(S) * log-odds(S and this one as x)

with the weights of the Shapley value. So marginal(case) - ``without`` is the modality's share, and whatever attributes
the marginal to pixels, words or values shares out just that: modalities and their parts cannot contradict each other.
Gradients pass through all subsets at once, and the other modalities' encoders are not run again.
Shapes: R rows, one a variant of the modality; N tokens, D width, U units that are removed as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from clinical_mm.explaining.question import TOKENS_AT_ONCE, Question, weighed_contexts
from clinical_mm.modalities.base import Batch, Encoder, Tokens

NUMBERS_AT_ONCE = 2_000_000
"""Input numbers (pixels, embeddings) that an encoder is given at once."""


@dataclass(frozen=True)
class Leaf:
    """Where gradients start: values of the case and of the baseline (leading dimension 1), and what follows from them.

    ``spread`` takes attributions of the leaf to the shape of ``Encoder.inputs``; ``rows``: how many fit in memory.
    """

    case: Tensor
    baseline: Tensor
    forward: Callable[[Tensor], Tensor]
    spread: Callable[[Tensor], Tensor]
    rows: int


class Marginal:
    """One present modality of a question."""

    def __init__(self, question: Question, name: str) -> None:
        self.question, self.name = question, name
        self.modality = question.predictor.modalities[name]
        self.encoder: Encoder = question.predictor.network.encoder(name)
        self.batch = question.batches[name]
        self.contexts = weighed_contexts(name, question.there)
        self.baseline_name = question.baselines.get(name) or self.encoder.baselines[0]

    @property
    def without(self) -> float:
        """The same mean with this modality absent."""
        return sum(weight * self.question.worth[subset] for subset, weight in self.contexts)

    @property
    def share(self) -> float:
        """The modality's Shapley value."""
        with_it = (weight * self.question.worth[subset | {self.name}] for subset, weight in self.contexts)
        return sum(with_it) - self.without

    @cached_property
    def inputs(self) -> Tensor:
        """``Encoder.inputs`` of the case."""
        with torch.no_grad():
            return self.encoder.inputs(self.batch)

    @cached_property
    def baseline(self) -> Tensor:
        """Inputs that say nothing; shape of ``inputs``."""
        with torch.no_grad():
            return self.encoder.baseline(self.batch, self.baseline_name)

    @cached_property
    def units(self) -> Tensor:
        """``int64``, expands to ``inputs``: the unit that each input belongs to, -1 = none that can be removed."""
        return self.modality.units(self.question.case, self.batch).to(self.inputs.device)

    @property
    def count(self) -> int:
        """U, how many units there are."""
        return int(self.units.max()) + 1

    def leaf(self) -> Leaf:
        """The encoder's inputs, or its tokens where it is too deep to be run at each step of a path."""
        return self.at_tokens() if self.encoder.deep else self.at_inputs()

    def at_inputs(self) -> Leaf:
        """Pixels, word embeddings, values."""
        rows = max(1, min(self._rows_of_fusion, NUMBERS_AT_ONCE // self.inputs.numel()))
        return Leaf(self.inputs, self.baseline, self.of_inputs, lambda found: found, rows)

    def at_tokens(self) -> Leaf:
        """What the encoder gives to the fusion: it runs once for the case and once for the baseline."""
        whole = self.question.tokens[self.name]
        with torch.no_grad():
            silence_D = self.encoder.silence(self.baseline_name)
            if silence_D is None:
                nothing_BND = self.encoder.tokens(self.baseline, self.batch).tokens_BND
            else:
                nothing_BND = silence_D.expand(whole.tokens_BND.shape)

        def forward(tokens_RND: Tensor) -> Tensor:
            return self.of_tokens(Tokens(tokens_RND, whole.mask_BN.expand(len(tokens_RND), -1)))

        def spread(found_1ND: Tensor) -> Tensor:
            return self.encoder.spread(found_1ND.sum(-1), self.batch)

        mask_1N1 = whole.mask_BN.unsqueeze(-1)
        start = torch.where(mask_1N1, nothing_BND, whole.tokens_BND)
        return Leaf(whole.tokens_BND, start, forward, spread, self._rows_of_fusion)

    def of_inputs(self, inputs: Tensor) -> Tensor:
        """The marginal[R] of inputs with R rows."""
        return self.of_tokens(self.encoder.tokens(inputs, repeated(self.batch, len(inputs))))

    def of_tokens(self, tokens: Tokens) -> Tensor:
        """The marginal[R] of tokens with R rows."""
        rows, contexts = len(tokens.mask_BN), len(self.contexts)
        states = tokens.tokens_BND
        if rows > 1 and states.stride(0) == 0:  # one row expanded stays so: see fusion.base.once
            states = states[:1].expand(rows * contexts, -1, -1)
        else:
            states = states.repeat_interleave(contexts, 0)
        mine = Tokens(states, tokens.mask_BN.repeat_interleave(contexts, 0))
        subsets = [subset | {self.name} for subset, _ in self.contexts] * rows
        found_RC = self.question.log_odds({**self.question.tokens, self.name: mine}, subsets).view(rows, contexts)
        return found_RC @ found_RC.new_tensor([weight for _, weight in self.contexts])

    def of_kept(self, keep_RU: Tensor) -> Tensor:
        """The marginal[R] where only some units (``bool[R, U]``) are kept, the others removed; without gradients."""
        units = self.units.expand(1, *self.units.shape[1:])
        found = []
        for part_RU in torch.split(keep_RU, self.rows_removed):
            always = part_RU.new_ones(len(part_RU), 1)
            kept = torch.cat([part_RU, always], 1)[:, units.flatten()].view(len(part_RU), *units.shape[1:])
            with torch.no_grad():
                batch = repeated(self.batch, len(part_RU))
                tokens = self.encoder.reduced(self.question.tokens[self.name], self.baseline, batch, kept)
                values_R = self.of_tokens(tokens)
            if self.encoder.removable:
                values_R = torch.where(part_RU.any(1), values_R, values_R.new_tensor(self.without))
            found.append(values_R)
        return torch.cat(found)

    def per_unit(self, found_U: Tensor) -> Tensor:
        """Attributions of units spread evenly over their inputs; shape of ``inputs``."""
        units = self.units.expand(self.inputs.shape)
        sizes = torch.bincount(units[units >= 0], minlength=len(found_U)).clamp(min=1)
        shares_U = torch.cat([found_U / sizes, found_U.new_zeros(1)])
        return shares_U[units.flatten()].view(self.inputs.shape)

    def of_units(self, found: Tensor) -> Tensor:
        """Attributions in the shape of ``inputs`` gathered by unit: ``[U]``."""
        units = self.units.expand(found.shape).flatten()
        real = units >= 0
        return found.new_zeros(self.count).index_add(0, units[real], found.flatten()[real])

    @property
    def rows_removed(self) -> int:
        """Rows of ``of_kept`` that fit in memory at once."""
        return max(1, min(4 * self._rows_of_fusion, 4 * NUMBERS_AT_ONCE // self.inputs.numel(), 256))

    @property
    def _rows_of_fusion(self) -> int:
        tokens = sum(part.mask_BN.shape[1] for part in self.question.tokens.values())
        return max(1, TOKENS_AT_ONCE // (tokens * len(self.contexts)))


def marginals(question: Question) -> Iterator[Marginal]:
    """One of each modality that is present."""
    return (Marginal(question, name) for name in question.there)


def repeated(batch: Batch, rows: int) -> Batch:
    """The one row of a batch, ``rows`` times."""
    return {key: value.expand(rows, *value.shape[1:]) for key, value in batch.items()}
