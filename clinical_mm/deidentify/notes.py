"""A note without who it is about: each identifier becomes a word in brackets that says what stood there.

Three sources, all by rule but the last: what the header and the case say of this patient (known.py), what looks like an
identifier (patterns.py, note_dates.py), and the names that an optional library finds (names.py). What a note already
has in these brackets stays, so that masking twice is masking once.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from clinical_mm.deidentify.known import Known
from clinical_mm.deidentify.note_dates import date_spans
from clinical_mm.deidentify.patterns import spans
from clinical_mm.deidentify.policy import Policy

KINDS = ("NAME", "ID", "PLACE", "EMAIL", "URL", "IP", "PHONE", "DATE", "AGE")
_MASK = re.compile(rf"\[(?:{'|'.join(KINDS)})(?: [\d+-]+)?\]")
_OLD = re.compile(r"(?<![\w.])(?P<age>\d{2,3})(?=[ -]?(?:years?|yrs?|y/?o|y\.o\.?)\b)", re.IGNORECASE)

Span = tuple[int, int, str]
FindNames = Callable[[str], Iterable[Span]]
"""A note -> (start, end, kind) of the names in it."""


@dataclass(frozen=True)
class Masked:
    """The note as it is stored, and how many spans of each kind were masked."""

    text: str
    counts: Counter[str]


def mask(note: str, known: Known, policy: Policy, days: int, names: FindNames | None = None) -> Masked:
    """Mask a note.

    Args:
        note: as it came.
        known: what the headers and the case say of the patient.
        policy: whether dates are moved or masked, who counts as old.
        days: by how many days this patient's dates move.
        names: an optional library's eye.
    """
    found = [(start, end, f"[{kind}]") for start, end, kind in identifiers(note, known, names)]
    if "full_dates" not in policy.retain:
        found += date_spans(note, days if policy.shifts else None, policy.date_order)
    limit = policy.oldest_age
    found += [(*m.span("age"), f"[AGE {limit + 1}+]") for m in _OLD.finditer(note) if limit < int(m["age"]) < 130]
    stays = [m.span() for m in _MASK.finditer(note)]
    return _replaced(note, [span for span in found if not _touches(span, stays)])


def identifiers(note: str, known: Known, names: FindNames | None = None) -> list[Span]:
    """(start, end, kind) of whatever names somebody, but for dates and ages."""
    return [*known.spans(note), *spans(note), *(names(note) if names else ())]


def _touches(span: Span, others: Sequence[tuple[int, int]]) -> bool:
    """Whether a span overlaps one of those, which are in order and apart."""
    before = bisect_left(others, span[1], key=lambda other: other[0])
    return before > 0 and others[before - 1][1] > span[0]


def _replaced(note: str, found: list[Span]) -> Masked:
    """Overlapping spans become one, named for the longest of them."""
    parts, at, counts = [], 0, Counter[str]()
    for start, end, put in _merged(found):
        parts += [note[at:start], put]
        counts[put.strip("[]").split()[0]] += 1
        at = end
    return Masked("".join([*parts, note[at:]]), counts)


def _merged(found: list[Span]) -> list[Span]:
    merged: list[tuple[int, int, str, int]] = []
    for start, end, put in sorted(found, key=lambda span: (span[0], -span[1], not span[2].startswith("[DATE"))):
        if merged and start < merged[-1][1]:
            first, last, before, longest = merged[-1]
            kept = (before, longest) if longest >= end - start else (put, end - start)
            merged[-1] = (first, max(last, end), *kept)
        else:
            merged.append((start, end, put, end - start))
    return [(start, end, put) for start, end, put, _ in merged]
