"""Evidence of a kind that the model has not learned from: another picture, another text, another mix of values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from clinical_mm.answers import Caution
from clinical_mm.cautions.base import READERS_WORD, Check, Seen, States
from clinical_mm.cautions.region import Region


class UnlikeTraining(Check):
    """``image-unlike-training``, ``note-unlike-training``, ``vitals-unlike-training``.

    Judged by where the mean of a modality's tokens lies among those of the training part (``region.py``).
    """

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._regions: dict[str, Region] = {}

    def fit_states(self, taught: States, held_back: States) -> None:
        """The region of each modality that enough cases of both parts have."""
        found = {name: Region.of(taught[name], held_back[name]) for name in self.modalities}
        self._regions = {name: region for name, region in found.items() if region is not None}

    def state(self) -> dict[str, Any]:
        """How many cases stand behind each region."""
        return {
            name: {"references": len(region.references), "held_back": len(region.held_back)}
            for name, region in self._regions.items()
        }

    def vectors(self) -> dict[str, np.ndarray]:
        """The regions' arrays; references in half precision, since they are many."""
        found = {
            f"{name}.{key}": array for name, region in self._regions.items() for key, array in vars(region).items()
        }
        return {key: array.astype(np.float16) if key.endswith(".references") else array for key, array in found.items()}

    def load(self, state: Mapping[str, Any], vectors: Mapping[str, np.ndarray]) -> None:
        """The regions."""
        keys = Region.__dataclass_fields__
        self._regions = {name: Region(**{key: vectors[f"{name}.{key}"] for key in keys}) for name in state}

    def cautions(self, seen: Seen) -> Iterator[Caution]:
        """One for each modality that lies further from the training part than validation cases did."""
        for name, strangeness in self.strangeness(seen).items():
            region = self._regions[name]
            if region.is_strange(strangeness):
                word = READERS_WORD.get(name, name)
                yield Caution(f"{word}-unlike-training", _told(word, strangeness, region.held_back))

    def strangeness(self, seen: Seen) -> dict[str, float]:
        """How far each modality of a case lies from the training part, where a region is known (``region.py``)."""
        known = {name: self._regions[name] for name in seen.states if name in self._regions}
        return {name: float(region.strangeness(seen.states[name][None])[0]) for name, region in known.items()}


def _told(word: str, strangeness: float, held_back: np.ndarray) -> str:
    count, further = len(held_back), int((held_back >= strangeness).sum())
    others = "none" if not further else f"only {further}"
    verb, them = ("are", "values") if word == "vitals" else ("is", f"{word}s")
    return (
        f"the {word} {verb} unlike the {them} that the model learned from: "
        f"of {count} cases held back in training {others} lay as far away"
    )
