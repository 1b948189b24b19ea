"""The note cut into pieces that carry what each phrase adds to the answer, and whether the note denies it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

STEPS = 5
"""How many strengths of colour there are."""
FAINTEST = 0.06
"""A share of the strongest phrase below which a phrase stays plain."""
MOST_COLOURED = 200
"""Phrases of a note that are coloured at most, the strongest: a page of a thousand colours tells nothing."""
IN_WORDS = {"negated": "denied", "uncertain": "uncertain", "other": "another person's"}
"""How the note tells of what it does not affirm; note.css draws a badge for each, so that the text stays as it is."""


class Told(Protocol):
    """A phrase of the note, what it adds, and how the note tells of it, as an explanation stores it."""

    @property
    def start(self) -> int:
        """First character."""

    @property
    def end(self) -> int:
        """One past the last character."""

    @property
    def text(self) -> str:
        """These characters when they were explained."""

    @property
    def attribution(self) -> float:
        """Signed contribution on the target's scale."""

    @property
    def context(self) -> str:
        """``affirmed``, ``negated``, ``uncertain`` or ``other``."""


@dataclass(frozen=True)
class Piece:
    """Some characters of the note; ``step`` 1 (faint) to 5 (strong), 0 = no colour; ``attribution`` None: no phrase."""

    text: str
    attribution: float | None = None
    step: int = 0
    context: str = "affirmed"
    goes_on: bool = False
    """The phrase right before it is told in the same way: one badge does for both."""

    @property
    def speaks(self) -> str:
        """``for`` or ``against`` the target."""
        return "for" if (self.attribution or 0.0) >= 0 else "against"

    @property
    def marked(self) -> bool:
        """Whether a reader must see it apart from the text around it."""
        return self.step > 0 or self.context != "affirmed"

    @property
    def told(self) -> str:
        """``denied`` and the like; empty where the note affirms it."""
        return IN_WORDS.get(self.context, "")


def pieces(note: str, phrases: Iterable[Told]) -> list[Piece]:
    """The whole note in order, every character exactly once, whatever the phrases say.

    A phrase that the note no longer has at its place is left out; what has no mark is one piece with its neighbours.
    """
    there = (p for p in phrases if 0 <= p.start < p.end and note[p.start : p.end] == p.text)
    ordered = sorted(there, key=lambda p: p.start)
    coloured = _coloured(ordered)
    strongest = max((abs(p.attribution) for p in ordered), default=0.0)
    found: list[Piece] = []
    reached = 0
    for phrase in ordered:
        step = max(1, round(abs(phrase.attribution) / strongest * STEPS)) if phrase.start in coloured else 0
        between = note[reached : phrase.start]
        goes_on = bool(found) and not between.strip() and found[-1].context == phrase.context
        piece = Piece(phrase.text, phrase.attribution, step, str(phrase.context), goes_on)
        if phrase.start < reached or not piece.marked:
            continue
        if between:
            found.append(Piece(between))
        found.append(piece)
        reached = phrase.end
    if reached < len(note):
        found.append(Piece(note[reached:]))
    return found


def strongest_phrases(found: Sequence[Piece], most: int = 5) -> list[Piece]:
    """The phrases that say most, for a reader who cannot see colours."""
    told = [p for p in found if p.step]
    return sorted(told, key=lambda p: -abs(p.attribution or 0.0))[:most]


def badges(found: Iterable[Piece]) -> dict[str, str]:
    """The badges that this note has, and what each means: for the legend."""
    seen = {p.context for p in found}
    return {context: meaning for context, meaning in IN_WORDS.items() if context in seen}


def _coloured(phrases: Sequence[Told]) -> set[int]:
    """Where the phrases begin that are strong enough to be coloured."""
    ranked = sorted(phrases, key=lambda p: -abs(p.attribution))[:MOST_COLOURED]
    return {p.start for p in ranked if p.attribution and abs(p.attribution) >= FAINTEST * abs(ranked[0].attribution)}
