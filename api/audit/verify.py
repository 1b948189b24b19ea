"""Walk along the chain and tell what is not as it was written: in the database, or in an exported file.

Entries come one at a time, so a trail of any length needs the same memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

from api.audit.anchor import Anchor
from api.audit.chain import GENESIS, HASHED, Entry, digest, head_told, is_signed

TOLD = 100
"""So many faults are told one by one; all are counted."""
COMPARED = 40
"""Among so many entries that do not fit their hash, swapped ones are told as such."""


@dataclass(frozen=True)
class Fault:
    """What is wrong, and where. Kinds: edited, missing, swapped, truncated, inserted, anchor, head."""

    entry: int | None
    kind: str
    detail: str


@dataclass
class Verdict:
    """What a walk found."""

    entries: int = 0
    last: int = 0
    hash: str = GENESIS
    anchors: int = 0
    anchored: int = 0
    anchored_at: str | None = None
    fault_count: int = 0
    faults: list[Fault] = field(default_factory=list)

    def tell(self, entry: int | None, kind: str, detail: str) -> None:
        """Count a fault, and keep it where not too many are kept already."""
        self.fault_count += 1
        if len(self.faults) < TOLD:
            self.faults.append(Fault(entry, kind, detail))


class Walk:
    """One walk from the first entry on; ``start`` is the hash before it, None where the trail is a part of one."""

    def __init__(self, anchors: Iterable[Anchor] = (), start: str | None = GENESIS) -> None:
        self.found = Verdict()
        self._expected = start, start
        self._spoilt: dict[int, Entry] = {}
        self._anchors = iter(anchors)
        self._anchor = self._next_anchor()

    def take(self, entry: Entry) -> None:
        """The next entry, as ``chain.written``."""
        sequence, computed = entry["id"], _digest(entry)
        if self._expected[0] is not None and entry["previous"] not in self._expected:
            self._broken_before(sequence, follows=self.found.last)
        if computed != entry["hash"]:
            self.found.tell(sequence, "edited", "its content does not fit its hash")
            if len(self._spoilt) < COMPARED:
                self._spoilt[sequence] = entry
        self._compare_anchors(sequence, computed)
        self._expected = entry["hash"], computed
        self.found.entries += 1
        self.found.last, self.found.hash = sequence, str(entry["hash"])

    def unreadable(self, sequence: int) -> None:
        """The next entry cannot even be read."""
        self.found.tell(sequence, "edited", "it cannot be read")
        self._compare_anchors(sequence, None)
        self._expected = None, None
        self.found.entries, self.found.last = self.found.entries + 1, sequence

    def end(self) -> Verdict:
        """There are no more entries."""
        while self._anchor is not None:
            there = f"line {self._anchor.line} of the anchors tells of entry {self._anchor.sequence}"
            self.found.tell(self._anchor.sequence, "truncated", f"{there}, but the trail ends with {self.found.last}")
            self._anchor = self._next_anchor()
        self._name_swaps()
        return self.found

    def _broken_before(self, sequence: int, *, follows: int) -> None:
        if sequence > follows + 1:
            one, more = f"entry {follows + 1} is missing", f"entries {follows + 1} to {sequence - 1} are missing"
            self.found.tell(follows + 1, "missing", one if sequence == follows + 2 else more)
        else:
            self.found.tell(sequence, "edited", f"it does not follow entry {follows}: one of the two is another")

    def _compare_anchors(self, sequence: int, computed: str | None) -> None:
        while self._anchor is not None and self._anchor.sequence <= sequence:
            line = f"line {self._anchor.line} of the anchors"
            if self._anchor.sequence < sequence:
                self.found.tell(self._anchor.sequence, "missing", f"{line} tells of it, but it is not there")
            elif self._anchor.hash != computed:
                since = f"something up to it was written anew since {self._anchor.at}"
                self.found.tell(sequence, "anchor", f"{line} contradicts it: {since}")
            self._anchor = self._next_anchor()

    def _next_anchor(self) -> Anchor | None:
        for anchor in self._anchors:
            self.found.anchors += 1
            if anchor.fault is None:
                self.found.anchored, self.found.anchored_at = anchor.sequence, anchor.at
                return anchor
            self.found.tell(anchor.sequence, "anchor", f"line {anchor.line} of the anchors {anchor.fault}")
        return None

    def _name_swaps(self) -> None:
        """An entry that fits its hash under the number of another spoilt one stood there."""
        for here, there in permutations(self._spoilt, 2):
            if _digest({**self._spoilt[here], "id": there}) == self._spoilt[here]["hash"]:
                for n, fault in enumerate(self.found.faults):
                    if fault.entry == here and fault.kind == "edited":
                        self.found.faults[n] = Fault(here, "swapped", f"it stood in place of entry {there}")


def check_head(walk: Walk, head: Entry | None, key: bytes) -> None:
    """Whether the signed end of the chain is the end of the walk; to be called before ``Walk.end``."""
    found = walk.found
    if head is None:
        found.tell(None, "head", "the row that holds the end of the chain is gone")
        return
    told = head_told(head["sequence"], head["hash"], head["anchored"])
    if not is_signed(key, told, head["signature"]):
        found.tell(head["sequence"], "head", "the end of the chain is not signed by this installation")
    if head["sequence"] > found.last:
        gone = f"the chain ends with entry {head['sequence']}, the table with {found.last}"
        found.tell(found.last + 1, "truncated", gone)
    elif head["sequence"] < found.last:
        found.tell(head["sequence"] + 1, "inserted", f"the chain ends with entry {head['sequence']}; more are there")
    elif head["hash"] != found.hash:
        found.tell(found.last, "head", "the end of the chain has another hash than the last entry")


def check_anchored(found: Verdict, head: Entry | None) -> None:
    """Whether the anchors reach as far as the head knows that they did; to be called after ``Walk.end``."""
    if head is not None and head["anchored"] > found.anchored:
        lost = f"entry {head['anchored']} was anchored, the anchors end with {found.anchored}"
        found.tell(head["anchored"], "anchor", f"{lost}: the file was cut, or is another")


def fields_of(entry: Any) -> bool:
    """Whether a value has exactly the fields of an entry."""
    return isinstance(entry, dict) and entry.keys() == {*HASHED, "hash"} and type(entry["id"]) is int


def _digest(entry: Entry) -> str:
    try:
        return digest(entry)
    except (TypeError, ValueError):  # what can be stored may have no canonical form: lone surrogates, blobs
        return ""
