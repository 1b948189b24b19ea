"""What a reader must know of a case before trusting an answer, one check a file.

A new one: its file with one subclass of ``Check``, and one line in ``CHECKS``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from clinical_mm.answers import Caution
from clinical_mm.catalogue import Catalogue
from clinical_mm.cautions.absent import Absent
from clinical_mm.cautions.base import Check, Seen, States, mean_states
from clinical_mm.cautions.blank_image import BlankImage
from clinical_mm.cautions.body_part import BodyPart
from clinical_mm.cautions.impossible_vitals import ImpossibleVitals
from clinical_mm.cautions.language import Language
from clinical_mm.cautions.not_used import NotUsed
from clinical_mm.cautions.unlike_training import UnlikeTraining
from clinical_mm.cautions.unusual_vitals import UnusualVitals
from clinical_mm.errors import InvalidBundle

__all__ = ["CHECKS", "Check", "Checks", "Seen", "States", "mean_states"]

CHECKS: dict[str, type[Check]] = {
    "absent": Absent,
    "not_used": NotUsed,
    "blank_image": BlankImage,
    "body_part": BodyPart,
    "language": Language,
    "impossible_vitals": ImpossibleVitals,
    "unusual_vitals": UnusualVitals,
    "unlike_training": UnlikeTraining,
}
"""Name in a bundle -> check, in the order in which their cautions are told."""


class Checks:
    """Every check of one model. What a bundle does not hold is not learned, and what is not learned says nothing."""

    def __init__(self, modalities: Sequence[str], catalogue: Catalogue) -> None:
        self._checks = {name: check(modalities, catalogue) for name, check in CHECKS.items()}

    def fit(self, taught: Sequence[Seen]) -> None:
        """Learn from the cases of the training part."""
        for check in self._checks.values():
            check.fit(taught)

    def fit_states(self, taught: States, held_back: States) -> None:
        """Learn from the mean tokens of the training and of the validation part."""
        for check in self._checks.values():
            check.fit_states(taught, held_back)

    def cautions(self, seen: Seen) -> list[Caution]:
        """What every check has to say of a case."""
        return [caution for check in self._checks.values() for caution in check.cautions(seen)]

    def strangeness(self, seen: Seen) -> dict[str, float]:
        """How far each modality of a case lies from the training part, where that is known."""
        return {name: far for check in self._checks.values() for name, far in check.strangeness(seen).items()}

    def state(self) -> dict[str, Any]:
        """What was learned, as JSON, by name of the check."""
        return {name: state for name, check in self._checks.items() if (state := check.state())}

    def save_vectors(self, path: Path) -> None:
        """Write what is too much for JSON as one safetensors file."""
        parts = {f"{name}.{key}": v for name, check in self._checks.items() for key, v in check.vectors().items()}
        save_file({key: np.ascontiguousarray(value) for key, value in parts.items()}, path)

    def load(self, state: Mapping[str, Any], path: Path) -> None:
        """Take back what ``state`` and ``save_vectors`` gave; a check that is not in ``state`` stays unlearned.

        Raises:
            InvalidBundle: it is damaged.
        """
        try:
            stored = load_file(path) if path.exists() else {}
            for name, check in self._checks.items():
                if name in state:
                    mine = {k.partition(".")[2]: v for k, v in stored.items() if k.partition(".")[0] == name}
                    check.load(state[name], {key: value.astype(np.float32) for key, value in mine.items()})
        except (SafetensorError, KeyError, TypeError, ValueError, AttributeError, OSError) as error:
            raise InvalidBundle(f"{path}: cautions not readable: {type(error).__name__}: {error}") from error
