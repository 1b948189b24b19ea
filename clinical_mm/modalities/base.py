"""The protocol of a modality: Case -> arrays (read), arrays -> batch (collate), batch -> tokens (encode).

A new modality is one new file here, one line in this folder's registry and one entry in a model's YAML.
Shapes: B cases, N tokens, D token width, C channels, H W D pixels, S word pieces, W windows, V vitals, M modalities.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clinical_mm.case import Case
from clinical_mm.catalogue import Catalogue
from clinical_mm.digests import content_hash
from clinical_mm.notes.words import WORD

FEATURES = 1
"""To be raised with any change of the code that makes other tokens of the same content and the same weights."""

Sample = Mapping[str, np.ndarray]
"""One case's arrays for one modality, ready to be stacked; keys are the modality's own."""

Batch = dict[str, Tensor]
"""Many cases' arrays for one modality, each with leading dimension B."""


@dataclass(frozen=True)
class Tokens:
    """What an encoder gives to the fusion: ``tokens_BND`` and ``mask_BN`` (True where a token is real)."""

    tokens_BND: Tensor
    mask_BN: Tensor

    def to(self, device: torch.device) -> Tokens:
        """The same tokens on another device."""
        return Tokens(self.tokens_BND.to(device), self.mask_BN.to(device))


@dataclass(frozen=True)
class Span:
    """Attribution of the characters [start, end) of the note."""

    start: int
    end: int
    text: str
    attribution: float


def word_spans(note: str, shares: Iterable[tuple[int, int, float]]) -> tuple[Span, ...]:
    """A span for each word of the note, from shares of runs of characters: (start, end, attribution).

    A share is spread evenly over its characters, so that words gather what is theirs, whatever a model calls a piece.
    """
    characters = np.zeros(len(note) + 1)
    for start, end, share in shares:
        if end > start:
            characters[start:end] += share / (end - start)
    words = WORD.finditer(note)
    return tuple(Span(w.start(), w.end(), w.group(), float(characters[w.start() : w.end()].sum())) for w in words)


def one_span_a_word(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Spans of the same characters made one, where several modalities read the same note; in the note's order."""
    sums: dict[tuple[int, int, str], float] = {}
    for span in spans:
        place = (span.start, span.end, span.text)
        sums[place] = sums.get(place, 0.0) + span.attribution
    return tuple(Span(*place, attribution) for place, attribution in sorted(sums.items()))


@dataclass(frozen=True)
class VitalAttribution:
    """Attribution of one vital that is present, its value in the catalogue's unit."""

    name: str
    value: float
    unit: str
    attribution: float


@dataclass(frozen=True)
class HeatMap:
    """Attribution over the pixels of one frame of one file of the case.

    Attributes:
        values: ``float32[H, W]`` signed attribution, at the resolution the network saw, covering the whole picture.
        peak: (x, y) of the largest positive attribution in the pixels of the stored frame.
    """

    file: int
    frame: int
    values: np.ndarray
    peak: tuple[int, int]


@dataclass(frozen=True)
class Evidence:
    """What a modality's attributions say in terms a reader knows; a modality fills the part that it can."""

    text: tuple[Span, ...] = ()
    vitals: tuple[VitalAttribution, ...] = ()
    images: tuple[HeatMap, ...] = ()


@dataclass(frozen=True)
class Alternative:
    """A value that one of the case's values could as well be.

    ``distance`` in standard deviations of the population; ``normal``: the nearest normal value to an abnormal one.
    """

    modality: str
    name: str
    value: float
    to: float
    unit: str
    distance: float
    normal: bool = False


class Encoder(nn.Module, ABC):
    """batch -> tokens, with the differentiable inputs apart so that any gradient method can attribute to them.

    ``forward(batch) == tokens(inputs(batch), batch)``.
    """

    width: int
    """D: the width of the tokens this encoder gives."""
    baselines: tuple[str, ...]
    """Names of the inputs that say nothing, the usual one first."""
    deep: bool = False
    """Whether it costs so much that explanations by gradients start at its tokens and not at its inputs."""
    removable: bool = False
    """Whether a case of which every unit is removed is one without this modality."""

    @abstractmethod
    def inputs(self, batch: Batch) -> Tensor:
        """The differentiable leaf: pixels, word embeddings, or vital values; leading dimension B."""

    @abstractmethod
    def baseline(self, batch: Batch, name: str | None = None) -> Tensor:
        """Inputs that say nothing, one of ``baselines`` (None = the first); same shape as ``inputs``."""

    @abstractmethod
    def tokens(self, inputs: Tensor, batch: Batch) -> Tokens:
        """Token states from the inputs and what of the batch is not differentiable (masks, positions)."""

    def blocks(self) -> list[nn.Module]:
        """The blocks from input to output, for ``learns: last``; none = it has no blocks to tell apart."""
        return []

    def adaptable(self) -> list[str]:
        """Names of the modules that ``learns: lora`` puts adapters beside; none = it takes no adapters."""
        return []

    def input_parameters(self) -> list[nn.Parameter]:
        """The parameters that ``inputs`` are made of, such as word embeddings; none = they are read from the batch."""
        return []

    def silence(self, baseline: str | None = None) -> Tensor | None:
        """A token's state ``[D]`` that says nothing, by the baseline's name; None = only inputs can say nothing."""
        return None

    def feature_maps(self) -> list[nn.Module]:
        """Modules whose output ``[B * I, C, ...]`` has a value for each place of each image; none = no pictures."""
        return []

    def spread(self, shares_BN: Tensor, batch: Batch) -> Tensor:
        """Shares of tokens over the inputs that they stand for, in the shape of ``inputs``; sums are kept.

        Here each token stands for all inputs alike.
        """
        inputs = self.inputs(batch)
        each_B = shares_BN.sum(1) / inputs[0].numel()
        return each_B.view(-1, *[1] * (inputs.ndim - 1)).expand(inputs.shape)

    def reduced(self, whole: Tokens, baseline: Tensor, batch: Batch, kept: Tensor) -> Tokens:
        """Tokens where only the inputs ``kept`` (bool, expands to ``inputs``) remain.

        ``whole``: the tokens of the case, one row; a row that keeps nothing is unused where the encoder is
        ``removable``. Here what is not kept is replaced by the baseline.
        """
        return self.tokens(torch.where(kept, self.inputs(batch), baseline), batch)

    def forward(self, batch: Batch) -> Tokens:
        """Token states of a batch."""
        return self.tokens(self.inputs(batch), batch)


class Modality(ABC):
    """How one kind of evidence is read, batched, encoded and explained."""

    name: str
    """The name in YAML, in answers and in explanations: ``imaging``, ``text``, ``vitals``."""

    @abstractmethod
    def __init__(self, config: Mapping[str, Any], catalogue: Catalogue) -> None:
        """Raises InvalidConfig where ``config`` (this modality's part of the model YAML) is wrong."""

    def fit(self, cases: Sequence[Case]) -> None:  # noqa: B027 - most modalities learn nothing here
        """Learn statistics (means, medians) from the training part alone."""

    def state(self) -> dict[str, Any]:
        """What ``fit`` learned, as JSON; stored in the bundle."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:  # noqa: B027
        """Take back what ``state`` gave."""

    @abstractmethod
    def read(self, case: Case) -> Sample | None:
        """The case's arrays, or None where the case has nothing of this kind.

        Raises:
            UnreadableFile, UnsupportedFile: the stored bytes do not decode.
        """

    aside: tuple[str, ...] = ()
    """Names of small arrays of a sample that are needed where an encoder's tokens stand for the rest of it."""

    def has(self, case: Case) -> bool:
        """Whether ``read`` gives arrays; without decoding, where a modality can tell."""
        return self.read(case) is not None

    @classmethod
    def shown(cls, case: Case) -> Any:
        """All that ``read`` may look at in a case, as JSON, files by their SHA-256. Here: everything but the label."""
        who = (case.patient.sex, case.patient.age_years)
        return [case.note, dict(case.vitals), *who, [image.sha256 for image in case.images]]

    def reading(self) -> dict[str, Any] | None:
        """All of configuration and state that decides, with the encoder's weights, which tokens a content gives.

        As JSON. None, as here: it is not told, so a frozen encoder's tokens are not kept beyond one training.
        """
        return None

    @classmethod
    def content(cls, case: Case) -> str:
        """SHA-256 of ``shown``, under which features are kept."""
        document = json.dumps(cls.shown(case), sort_keys=True, ensure_ascii=False)
        return content_hash(f"{cls.name}\n{document}".encode()).hexdigest()

    def features_of(self, encoder: Encoder) -> str | None:
        """SHA-256 of what turns a content into tokens: how it is read, and the encoder's weights; None = not told."""
        reading = self.reading()
        if reading is None:
            return None
        kind = f"{type(self).__module__}.{type(self).__name__}"
        whole = content_hash(json.dumps([FEATURES, kind, reading], sort_keys=True).encode())
        for name, value in sorted(encoder.state_dict().items()):
            array = value.detach().cpu().numpy()
            whole.update(f"{name} {array.dtype} {array.shape}".encode())
            whole.update(np.ascontiguousarray(array).tobytes())
        return whole.hexdigest()

    @abstractmethod
    def collate(self, samples: Sequence[Sample | None]) -> Batch:
        """Stack samples; an absent one becomes padding that the presence mask hides. Never empty: at least one row."""

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The batch with small random changes drawn from ``generator``; only the training loop calls it."""
        return batch

    @abstractmethod
    def encoder(self) -> Encoder:
        """A fresh encoder, weights as the configuration asks (random, from file, or by name)."""

    def rows(self) -> dict[str, tuple[str, ...]]:
        """The encoder's parameters whose rows each stand for something: parameter -> what each row stands for.

        A model that starts from another takes such rows over by these names, not by their position.
        """
        return {}

    def reads_alike(self, other: Modality) -> bool:
        """Whether the weights of ``other``'s encoder mean the same in this one's, given that they fit."""
        return type(self) is type(other)

    @abstractmethod
    def units(self, case: Case, batch: Batch) -> Tensor:
        """``int64``, expands to ``Encoder.inputs`` of this one case: the unit of each input, -1 = none.

        A unit is what is removed as a whole to see what it does: a word, a vital, a square of a picture.
        """

    def alternatives(self, case: Case) -> list[Alternative]:
        """Plausible values in place of the case's own; none where values are no single numbers."""
        return []

    def changed(self, case: Case, changes: Sequence[Alternative]) -> Sample | None:
        """What ``read`` gives after some ``alternatives`` came true."""
        return self.read(case)

    @abstractmethod
    def evidence(self, case: Case, batch: Batch, attributions: Tensor) -> Evidence:
        """Attributions (shape of ``Encoder.inputs`` for this one case, leading dimension 1) in a reader's terms."""

    def save_assets(self, folder: Path) -> None:  # noqa: B027
        """Write files the bundle needs besides weights (a tokenizer, say)."""

    def load_assets(self, folder: Path) -> None:  # noqa: B027
        """Use the files of a bundle in place of downloads; called before ``encoder``."""
