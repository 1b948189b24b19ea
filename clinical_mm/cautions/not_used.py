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
        brought = {"image": bool(case.images), "note": case.note is not None, "vitals": bool(case.vitals)}
        read = {READERS_WORD.get(name, name) for name in self.modalities}
        for what, there in brought.items():
            if there and what not in read:
                yield Caution(f"{what}-not-used", f"this model does not read {what}")
        for name in sorted(set(case.vitals) - {v.name for v in self.catalogue.vitals}):
            yield Caution("vital-not-used", f"this model does not know {name}")
