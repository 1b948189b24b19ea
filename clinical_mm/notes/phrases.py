"""Words made phrases that a reader would point at: ``no fever or chills``, ``productive cough with green sputum``.

A phrase is a run of words that joining words (of, with, or) hold together; words such as ``is`` and ``she`` part it, as
do marks, the end of a clause and a change of context. So every word is in exactly one phrase, and phrases add up to
what their words do. Source of cutting at words that carry no content: RAKE, Rose et al., Text Mining (2010) ch. 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, Protocol

from clinical_mm.notes.context import Word, read
from clinical_mm.notes.triggers import Context, Reach, Wording, wording_that_comes_along

MOST_WORDS = 9
DIGITS = 6
_INSIDE = frozenset("-/'’%+&")
"""Marks that hold two parts of one word together where no space stands between: ``c/o``, ``120/80``."""


class Attributed(Protocol):
    """Characters [start, end) of the note and what they add."""

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
class Phrase:
    """Characters [start, end) of the note, the sum of what their words add, and how the note tells of them."""

    start: int
    end: int
    text: str
    attribution: float
    context: Context = Context.AFFIRMED

    def to_json(self) -> dict[str, Any]:
        """As it goes over the wire."""
        return {**asdict(self), "attribution": round(self.attribution, DIGITS), "context": self.context.value}


def phrases(note: str, spans: Iterable[Attributed], wording: Wording | None = None) -> tuple[Phrase, ...]:
    """The whole note in phrases, in order, each with the sum of the spans that begin in it.

    Args:
        note: the note as it was explained.
        spans: what its words add; none = phrases that add nothing.
        wording: the triggers; None = those of ``configs/notes``.
    """
    wording = wording or wording_that_comes_along()
    runs = [run for _, words in groupby(read(note, wording), key=_alike) for run in _runs(list(words), wording)]
    adding = sorted((span for span in spans if 0 <= span.start < len(note)), key=lambda span: span.start)
    found, at = [], 0
    for number, run in enumerate(runs):
        before = len(note) if number + 1 == len(runs) else runs[number + 1][0].start
        total = 0.0
        while at < len(adding) and adding[at].start < before:
            total += adding[at].attribution
            at += 1
        start, end = run[0].start, run[-1].end
        context = Context.AFFIRMED if run[0].is_mark and len(run) == 1 else run[0].context
        found.append(Phrase(start, end, note[start:end], total, context))
    return tuple(found)


def _alike(word: Word) -> tuple[int, Context]:
    return word.sentence, word.context


def _runs(words: Sequence[Word], wording: Wording) -> Iterator[list[Word]]:
    """Words of one sentence and one context, cut into phrases."""
    run: list[Word] = []
    for word in words:
        if run and not _goes_on(run, word, wording):
            yield from _trimmed(run, wording)
            run = []
        run.append(word)
        if len(run) > MOST_WORDS:
            at = _seam(run, wording)
            yield from _trimmed(run[:at], wording)
            run = run[at:]
    yield from _trimmed(run, wording)


def _seam(run: Sequence[Word], wording: Wording) -> int:
    """Where a run that is too long is cut: after its last joining word, or else at its last word."""
    places = (at for at in range(len(run) - 1, 1, -1) if run[at - 1].text in wording.joins)
    return next(places, len(run) - 1)


def _goes_on(run: Sequence[Word], word: Word, wording: Wording) -> bool:
    last = run[-1]
    if _joined(last, word):
        return True
    if _stands_alone(last, wording, first=len(run) == 1) or word.text in _INSIDE:
        return False
    if _stands_alone(word, wording, first=False) or _begins(word):
        return False
    return not (word.text in wording.determiners and last.trigger is None and _is_content(last, wording))


def _joined(last: Word, word: Word) -> bool:
    return last.end == word.start and (word.text in _INSIDE or (last.text in _INSIDE and not word.is_mark))


def _begins(word: Word) -> bool:
    return word.opens and word.trigger is not None and word.trigger.reach is Reach.BEFORE


def _stands_alone(word: Word, wording: Wording, *, first: bool) -> bool:
    """Marks, ends of clauses and words without content; the latter join in where something is denied or doubted."""
    if word.trigger is not None and word.trigger.reach not in {Reach.END, Reach.NOTHING}:
        return False
    if word.is_mark or word.ends_clause:
        return first or word.text not in _INSIDE
    if first and word.text in wording.joins:
        return True
    return word.context is Context.AFFIRMED and word.text in wording.apart


def _is_content(word: Word, wording: Wording) -> bool:
    return not (word.text in wording.joins or word.text in wording.determiners or word.text in wording.apart)


def _trimmed(run: list[Word], wording: Wording) -> Iterator[list[Word]]:
    """The run without joining words at its end, each of which is a phrase of its own."""
    last = len(run)
    while last > 1 and run[last - 1].trigger is None and not _is_content(run[last - 1], wording):
        last -= 1
    yield run[:last]
    yield from ([word] for word in run[last:])
