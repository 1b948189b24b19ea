"""What was done to a case, told by names of attributes and by counts: never by a value."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from pydicom.datadict import keyword_for_tag

from clinical_mm.deidentify.policy import Policy
from clinical_mm.deidentify.table import EDITION

Box = tuple[int, int, int, int]
"""left, top, right, bottom in pixels; right and bottom are one past the last."""


@dataclass(frozen=True)
class BurnedIn:
    """Why a file may show text in its pixels, where it seems to stand, and whether it was made black."""

    file: int
    reasons: tuple[str, ...]
    boxes: tuple[Box, ...]
    masked: bool

    def to_json(self) -> dict[str, Any]:
        """As it is stored."""
        boxes = [list(box) for box in self.boxes]
        return {"file": self.file, "reasons": list(self.reasons), "boxes": boxes, "masked": self.masked}


@dataclass
class Report:
    """Counts over all files of a case."""

    attributes: dict[str, Counter[str]] = field(default_factory=dict)
    """removed, emptied, replaced, cleaned -> attribute -> in how many places."""
    counts: Counter[str] = field(default_factory=Counter)
    """uids, dates, private, unknown, overlays, metadata: how many."""
    note: Counter[str] = field(default_factory=Counter)
    """Kind of identifier -> how many spans of the note were masked."""
    fields: list[str] = field(default_factory=list)
    """Parts of the case itself that were changed, as JSON pointers."""
    burned_in: list[BurnedIn] = field(default_factory=list)

    def tell(self, what: str, tag: int) -> None:
        """One attribute was removed, emptied, replaced or cleaned."""
        self.attributes.setdefault(what, Counter())[named(tag)] += 1

    def add(self, other: Report) -> None:
        """Count another case's too; where text was seen is told by case alone."""
        for what, told in other.attributes.items():
            self.attributes.setdefault(what, Counter()).update(told)
        self.counts.update(other.counts)
        self.note.update(other.note)

    def to_json(self, policy: Policy, fingerprint: str) -> dict[str, Any]:
        """As it is stored and shown; ``fingerprint`` names the secret."""
        return {
            "profile": f"DICOM PS3.15 {EDITION} Basic Profile",
            "options": sorted(policy.options),
            "key": fingerprint,
            "attributes": {what: dict(sorted(told.items())) for what, told in sorted(self.attributes.items())},
            "counts": {what: self.counts[what] for what in sorted(self.counts) if self.counts[what]},
            "note": dict(sorted(self.note.items())),
            "fields": self.fields,
            "burned_in": [found.to_json() for found in self.burned_in],
        }


def named(tag: int) -> str:
    """An attribute of the standard as a reader knows it: ``PatientName (0010,0010)``."""
    return f"{keyword_for_tag(tag) or 'unknown'} ({tag >> 16:04X},{tag & 0xFFFF:04X})"
