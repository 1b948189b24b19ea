"""The DICOM header says that the image is of another body part, or of another kind, than those of the training part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from clinical_mm.answers import Caution
from clinical_mm.cautions.base import Check, Seen

_ALIKE = {"DR": "DX", "CR": "DX", "RG": "DX", "THORAX": "CHEST", "LUNG": "CHEST", "LUNGS": "CHEST"}
"""Films of one beam are one kind, computed (CR), direct (DX) or scanned (RG); LUNG and THORAX are told for CHEST."""
_SAYS_NOTHING = {"", "OT", "SC", "UNKNOWN", "NONE", "OTHER"}

Kind = tuple[str, str]
"""(body part, modality) in capitals; "" where the file does not tell."""


class BodyPart(Check):
    """``unseen-body-part``. A file without the tags says nothing here: ``unlike_training`` judges its pixels.

    Source: BodyPartExamined (0018,0015) and its terms, DICOM PS3.16 Annex L; Modality (0008,0060), PS3.3 C.7.3.1.1.1.
    """

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._seen: Counter[Kind] = Counter()

    def fit(self, taught: Sequence[Seen]) -> None:
        """Count the kinds of image in the training part."""
        self._seen = Counter(kind for seen in taught for _, kind in _kinds(seen))

    def state(self) -> dict[str, Any]:
        """Each kind and how many images were of it."""
        return {"kinds": [[part, modality, count] for (part, modality), count in sorted(self._seen.items())]}

    def load(self, state: Mapping[str, Any], vectors: Mapping[str, np.ndarray]) -> None:
        """The kinds and their counts."""
        self._seen = Counter({(str(part), str(modality)): int(n) for part, modality, n in state.get("kinds", [])})

    def cautions(self, seen: Seen) -> Iterator[Caution]:
        """One for each image of a kind that the training part did not hold."""
        for number, kind in _kinds(seen):
            if self._is_new(kind):
                known = ", ".join(_words(k) for k, _ in self._seen.most_common() if k != ("", ""))
                yield Caution("unseen-body-part", f"image {number} is of {_words(kind)}; the model has seen {known}")

    def _is_new(self, kind: Kind) -> bool:
        """Whether what the file tells was never told: compared with those training files that tell as much."""
        tells = [i for i in (0, 1) if kind[i]]
        as_much = {tuple(k[i] for i in tells) for k in self._seen if all(k[i] for i in tells)}
        if len(tells) == 2 and not as_much:  # no training file tells both: each is compared alone
            return self._is_new((kind[0], "")) or self._is_new(("", kind[1]))
        return bool(as_much) and tuple(kind[i] for i in tells) not in as_much


def _kinds(seen: Seen) -> list[tuple[int, Kind]]:
    """(number of its first file, kind) of each image; frames of one volume count once."""
    sample = seen.sample.get("imaging")
    if sample is None:
        return []
    told = {int(origin[0, 0]) + 1: (_plain(kind[0]), _plain(kind[1])) for origin, kind in _rows(sample)}
    return sorted(told.items())


def _rows(sample: Mapping[str, np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    return zip(sample["origin"], sample["kind"], strict=True)


def _plain(text: str) -> str:
    """In capitals; of several words (``CHEST PA``) the first, since vendors add the view."""
    first = next(iter(str(text).upper().replace("_", " ").replace(",", " ").split()), "")
    plain = _ALIKE.get(first, first)
    return "" if plain in _SAYS_NOTHING else plain


def _words(kind: Kind) -> str:
    part, modality = kind
    if part and modality:
        return f"{part} (modality {modality})"
    return part or f"modality {modality}"
