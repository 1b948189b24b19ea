"""How a note tells of each of its words: as so, as not so, as perhaps so, or of somebody else.

A trigger speaks of the words of its clause: to the end of the sentence, or to a word such as ``but``.

Source: NegEx, Chapman et al., J Biomed Inform 34 (2001) 301; ConText, Harkema et al., J Biomed Inform 42 (2009) 839.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from clinical_mm.notes.triggers import Context, Reach, Trigger, Wording
from clinical_mm.notes.words import WORD

STRONGER = (Context.UNCERTAIN, Context.NEGATED, Context.OTHER)
"""Where several speak of one word the last of these holds: ``father denied chest pain`` is the father's."""
_STOPS = frozenset(".!?")
_SPEAK = frozenset({Reach.BEFORE, Reach.AFTER, Reach.WITHIN, Reach.ITSELF})
_ALIKE = frozenset({Context.NEGATED, Context.UNCERTAIN})


@dataclass
class Word:
    """A word or mark of the note, characters [start, end), and how the note tells of it.

    ``text`` is in lower case; ``trigger`` is what it is a part of, if of any; ``opens`` on the first word of one.
    """

    start: int
    end: int
    text: str
    sentence: int = 0
    context: Context = Context.AFFIRMED
    trigger: Trigger | None = None
    opens: bool = False

    @property
    def is_mark(self) -> bool:
        """Whether it is punctuation."""
        return not self.text[0].isalnum()

    @property
    def ends_clause(self) -> bool:
        """Whether it is a part of ``but`` and the like."""
        return self.trigger is not None and self.trigger.reach is Reach.END


def read(note: str, wording: Wording) -> list[Word]:
    """Every word and mark of a note, in order."""
    words = _words(note, wording)
    for number, (first, last) in enumerate(_sentences(note, words)):
        sentence = words[first:last]
        for word in sentence:
            word.sentence = number
        _tell(sentence, wording)
    return words


def _words(note: str, wording: Wording) -> list[Word]:
    """Words and marks; the full stop of an abbreviation is a part of it and ends no sentence."""
    words: list[Word] = []
    for found in WORD.finditer(note):
        start, end, text = found.start(), found.end(), found.group().lower()
        if text == "." and words and words[-1].end == start and words[-1].text in wording.abbreviations:
            words[-1].end = end
        else:
            words.append(Word(start, end, text))
    return words


def _sentences(note: str, words: Sequence[Word]) -> Iterator[tuple[int, int]]:
    first = 0
    for at in range(len(words)):
        if _closes(words, at) or _line_ends(note, words, at):
            yield first, at + 1
            first = at + 1
    if first < len(words):
        yield first, len(words)


def _closes(words: Sequence[Word], at: int) -> bool:
    """Whether this mark ends a sentence; a question mark that stands before a word does not: ``? febrile``."""
    return words[at].text in _STOPS and at > 0 and words[at - 1].end == words[at].start


def _line_ends(note: str, words: Sequence[Word], at: int) -> bool:
    """Whether the line ends here and the next begins anew: not with a small letter, as a wrapped line does."""
    if at + 1 == len(words):
        return False
    between = note[words[at].end : words[at + 1].start]
    return between.count("\n") > 1 or ("\n" in between and not note[words[at + 1].start].islower())


def _tell(sentence: Sequence[Word], wording: Wording) -> None:
    """Mark the triggers of a sentence and the words that they speak of."""
    found = list(wording.found([word.text for word in sentence]))
    for at, trigger in found:
        sentence[at].opens = True
        for word in sentence[at : at + len(trigger.words)]:
            word.trigger = trigger
    speaking = sorted(
        ((at, trigger) for at, trigger in found if trigger.reach in _SPEAK), key=lambda f: STRONGER.index(f[1].context)
    )
    for at, trigger in speaking:
        for place in _scope(sentence, at, trigger, wording):
            sentence[place].context = trigger.context


def _scope(sentence: Sequence[Word], at: int, trigger: Trigger, wording: Wording) -> range:
    first, last = at, at + len(trigger.words)
    if trigger.reach in {Reach.BEFORE, Reach.WITHIN}:
        while last < len(sentence) and not _stopped(sentence[last], trigger, Reach.BEFORE):
            last += 1
    if trigger.reach is Reach.AFTER:
        while first > 0 and not _stopped(sentence[first - 1], trigger, Reach.AFTER):
            first -= 1
    if trigger.reach is Reach.WITHIN:
        while first > 0 and not _apart(sentence[first - 1], wording):
            first -= 1
    return range(first, last)


def _stopped(word: Word, trigger: Trigger, reach: Reach) -> bool:
    """A clause ends at ``but``, and where another trigger of negation or doubt begins to speak."""
    other = word.trigger
    if other is None:
        return False
    if other.reach is Reach.END:
        return True
    speaks_on = other.reach in ({Reach.BEFORE, Reach.WITHIN} if reach is Reach.BEFORE else {Reach.BEFORE, Reach.AFTER})
    return speaks_on and {other.context, trigger.context} <= _ALIKE


def _apart(word: Word, wording: Wording) -> bool:
    return word.is_mark or word.text in wording.apart or word.trigger is not None
