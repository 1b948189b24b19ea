"""The words by which a note denies, doubts or speaks of somebody else: read from YAML, found in a run of words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import product
from pathlib import Path
from typing import Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from clinical_mm.configs import config_folder
from clinical_mm.errors import InvalidConfig
from clinical_mm.notes.words import WORD

_PLACE = re.compile(r"\{(\w+)\}")


class Context(StrEnum):
    """How a note tells of something: as so, as not so, as perhaps so, or of somebody else than the patient."""

    AFFIRMED = "affirmed"
    NEGATED = "negated"
    UNCERTAIN = "uncertain"
    OTHER = "other"


class Reach(StrEnum):
    """Which words a trigger speaks of."""

    BEFORE = "before"
    AFTER = "after"
    WITHIN = "within"
    ITSELF = "itself"
    NOTHING = "nothing"
    END = "end"


@dataclass(frozen=True)
class Trigger:
    """Words in lower case, what they say and of what; ``NOTHING`` only looks like a trigger, ``END`` ends a clause."""

    words: tuple[str, ...]
    reach: Reach
    context: Context = Context.AFFIRMED


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Says(_Strict):
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    within: tuple[str, ...] = ()
    itself: tuple[str, ...] = ()


class _File(_Strict):
    lists: dict[str, tuple[str, ...]] = {}
    negated: _Says = _Says()
    uncertain: _Says = _Says()
    other: _Says = _Says()
    pseudo: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    abbreviations: tuple[str, ...] = ()
    joins: tuple[str, ...] = ()
    determiners: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()

    def triggers(self) -> Iterator[Trigger]:
        for context in (Context.NEGATED, Context.UNCERTAIN, Context.OTHER):
            for reach, told in getattr(self, context):
                yield from self._each(told, Reach(reach), context)
        yield from self._each(self.pseudo, Reach.NOTHING)
        yield from self._each(self.ends, Reach.END)

    def _each(self, told: Iterable[str], reach: Reach, context: Context = Context.AFFIRMED) -> Iterator[Trigger]:
        for text in told:
            names = _PLACE.findall(text)
            for chosen in product(*(self.lists[name] for name in names)):
                words = iter(chosen)
                yield Trigger(in_words(_PLACE.sub(lambda _: next(words), text)), reach, context)  # noqa: B023


class Wording:
    """The triggers of one or more languages, and the words that hold a phrase together or stand apart."""

    def __init__(self, files: Sequence[_File]) -> None:
        self.abbreviations = _all(file.abbreviations for file in files)
        self.joins = _all(file.joins for file in files)
        self.determiners = _all(file.determiners for file in files)
        self.apart = _all(file.apart for file in files)
        self._by_first: dict[str, list[Trigger]] = {}
        for file in files:
            for trigger in file.triggers():
                self._by_first.setdefault(trigger.words[0], []).append(trigger)
        for together in self._by_first.values():
            together.sort(key=lambda trigger: -len(trigger.words))

    @classmethod
    def load(cls, folder: Path | None = None) -> Self:
        """Every YAML file of a folder; None = those that come along (``configs/notes``).

        Raises:
            InvalidConfig: there is none, or one is not as ``configs/notes/english.yaml`` shows.
        """
        folder = folder or config_folder() / "notes"
        paths = sorted(folder.glob("*.yaml"))
        if not paths:
            raise InvalidConfig(f"{folder}: no YAML file of triggers; see configs/notes/english.yaml for one")
        return cls([_read(path) for path in paths])

    def found(self, words: Sequence[str]) -> Iterator[tuple[int, Trigger]]:
        """(place, trigger) from left to right; the longest where several begin, none inside another.

        Args:
            words: the words of a sentence, in lower case.
        """
        at = 0
        while at < len(words):
            fits = (t for t in self._by_first.get(words[at], ()) if tuple(words[at : at + len(t.words)]) == t.words)
            trigger = next(fits, None)
            if trigger is not None:
                yield at, trigger
            at += len(trigger.words) if trigger else 1


@cache
def wording_that_comes_along() -> Wording:
    """The triggers of ``configs/notes``, read once."""
    return Wording.load()


def in_words(text: str) -> tuple[str, ...]:
    """The words and marks of a text in lower case."""
    return tuple(word.lower() for word in WORD.findall(text))


def _all(told: Iterable[Iterable[str]]) -> frozenset[str]:
    return frozenset(word.lower() for part in told for word in part)


def _read(path: Path) -> _File:
    try:
        file = _File.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
        names = {name for told in _texts(file) for name in _PLACE.findall(told)}
    except (yaml.YAMLError, UnicodeDecodeError, ValidationError) as error:
        raise InvalidConfig(f"{path}: {error} (YAML reads no, on and off as true or false: quote them)") from error
    unknown = names - set(file.lists)
    if unknown:
        raise InvalidConfig(f"{path}: no list {', '.join(sorted(unknown))} under `lists`")
    return file


def _texts(file: _File) -> Iterator[str]:
    for says in (file.negated, file.uncertain, file.other):
        yield from (*says.before, *says.after, *says.within, *says.itself)
    yield from (*file.pseudo, *file.ends)
