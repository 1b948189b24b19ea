"""The note cut into pieces that carry what each word adds to the answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

STEPS = 5
"""How many strengths of colour there are."""
FAINTEST = 0.06
"""A share of the strongest word below which a word stays plain."""


class Attributed(Protocol):
    """A run of characters and what it adds, as an explanation stores it."""

    @property
    def start(self) -> int:
        """First character."""

    @property
    def end(self) -> int:
        """One past the last character."""

    @property
    def attribution(self) -> float:
        """Signed contribution on the target's scale."""


@dataclass(frozen=True)
class Piece:
    """Some characters of the note; ``step`` 1 (faint) to 5 (strong), 0 = plain; ``attribution`` None between words."""

    text: str
    attribution: float | None = None
    step: int = 0

    @property
    def speaks(self) -> str:
        """``for`` or ``against`` the target."""
        return "for" if (self.attribution or 0.0) >= 0 else "against"


def pieces(note: str, spans: Iterable[Attributed]) -> list[Piece]:
    """The whole note in order, every character exactly once, whatever the spans say."""
    ordered = sorted((s for s in spans if 0 <= s.start < s.end <= len(note)), key=lambda s: s.start)
    strongest = max((abs(s.attribution) for s in ordered), default=0.0)
    found: list[Piece] = []
    reached = 0
    for span in ordered:
        if span.start < reached:
            continue
        if span.start > reached:
            found.append(Piece(note[reached : span.start]))
        found.append(Piece(note[span.start : span.end], span.attribution, _step(span.attribution, strongest)))
        reached = span.end
    if reached < len(note):
        found.append(Piece(note[reached:]))
    return found


def strongest_words(found: Sequence[Piece], most: int = 5) -> list[Piece]:
    """The words that say most, for a reader who cannot see colours."""
    told = [p for p in found if p.step]
    return sorted(told, key=lambda p: -abs(p.attribution or 0.0))[:most]


def _step(attribution: float, strongest: float) -> int:
    share = abs(attribution) / strongest if strongest else 0.0
    return 0 if share < FAINTEST else max(1, round(share * STEPS))
