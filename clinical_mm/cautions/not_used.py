"""What the case has and the model does not read."""

from __future__ import annotations

from collections.abc import Iterator

from clinical_mm.answers import Caution
from clinical_mm.cautions.base import READERS_WORD, Check, Seen


class NotUsed(Check):
    """``image-not-used``, ``note-not-used``, ``vitals-not-used``, ``vital-not-used``."""

    def cautions(self, seen: Seen) -> Iterator[Caution]:
        """One for each kind of evidence that the model has no encoder for, and each vital that it does not know."""
        case = seen.case
        brought = {"imaging": bool(case.images), "text": case.note is not None, "vitals": bool(case.vitals)}
        for name, there in brought.items():
            if there and name not in self.modalities:
                yield Caution(f"{READERS_WORD[name]}-not-used", f"this model does not read {READERS_WORD[name]}")
        for name in sorted(set(case.vitals) - {v.name for v in self.catalogue.vitals}):
            yield Caution("vital-not-used", f"this model does not know {name}")
