"""The protocol of a check: what the training part holds -> what a reader must know of a case before trusting an answer.

Shapes: B cases of a batch, N cases, D token width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from clinical_mm.answers import Caution
from clinical_mm.case import Case
from clinical_mm.catalogue import Catalogue
from clinical_mm.modalities.base import Sample, Tokens

READERS_WORD = {"imaging": "image", "text": "note", "vitals": "vitals", "words": "note"}
"""A modality as readers call it; half of the codes ``image-missing``, ``note-not-used``, ``vitals-unlike-training``."""

States = Mapping[str, np.ndarray]
"""Modality -> mean tokens ``float32[N, D]`` of the cases that have it."""


@dataclass(frozen=True)
class Seen:
    """One case as a check sees it: the case, its arrays, and of each modality it has the mean token ``float32[D]``."""

    case: Case
    sample: Mapping[str, Sample | None]
    states: States = field(default_factory=dict)


class Check(ABC):
    """One thing that a reader may have to be warned of. One that has learned nothing says nothing it would have to."""

    def __init__(self, modalities: Sequence[str], catalogue: Catalogue) -> None:
        """``modalities``: those of the model, in its order."""
        self.modalities, self.catalogue = tuple(modalities), catalogue

    def fit(self, taught: Sequence[Seen]) -> None:  # noqa: B027 - some checks learn nothing
        """Learn from the cases of the training part; they have no states yet."""

    def fit_states(self, taught: States, held_back: States) -> None:  # noqa: B027
        """Learn from what the trained encoders make of the training part; thresholds from the validation part."""

    def state(self) -> dict[str, Any]:
        """What was learned, as JSON."""
        return {}

    def vectors(self) -> dict[str, np.ndarray]:
        """What was learned and is too much for JSON."""
        return {}

    def load(self, state: Mapping[str, Any], vectors: Mapping[str, np.ndarray]) -> None:  # noqa: B027
        """Take back what ``state`` and ``vectors`` gave; raises KeyError or ValueError where they are none."""

    def strangeness(self, seen: Seen) -> dict[str, float]:
        """How far each modality of a case lies from the training part; only of checks that measure it."""
        return {}

    @abstractmethod
    def cautions(self, seen: Seen) -> Iterator[Caution]:
        """What this check has to say of a case."""


def mean_states(tokens: Mapping[str, Tokens]) -> dict[str, np.ndarray]:
    """Mean of each modality's real tokens, ``float32[B, D]``; zero where a case has none."""
    means = {}
    for name, part in tokens.items():
        mask_BN1 = part.mask_BN.unsqueeze(-1)
        total_BD = part.tokens_BND.masked_fill(~mask_BN1, 0).sum(1, dtype=torch.float32)
        means[name] = (total_BD / mask_BN1.sum(1).clamp(min=1)).cpu().numpy()
    return means
