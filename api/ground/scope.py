"""Whose rows the work at hand may touch: one project's, or by name every project's. Nobody said so = nobody's.

A request stands inside no project until the guard knows its caller, and then inside that caller's. Workers and
commands say ``whole_process``; the few steps of a request that must look across projects (which key is this?) say
``everywhere``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


class OutsideAnyProject(RuntimeError):
    """The database was asked for before anybody said whose rows are meant: a fault of ours, never of a caller."""


@dataclass(frozen=True)
class Everywhere:
    """Every project; ``why`` is read by whoever looks for such places."""

    why: str


@dataclass(frozen=True)
class Nowhere:
    """No project: what a request starts with."""


Scope = str | Everywhere | Nowhere
"""A project's id, or one of the two."""

_here: ContextVar[Scope | None] = ContextVar("scope", default=None)
_process: Scope = Nowhere()


def here() -> str | Everywhere:
    """The scope in force; raises OutsideAnyProject."""
    scope = _here.get() or _process
    if isinstance(scope, Nowhere):
        raise OutsideAnyProject("no project is set: see api/ground/scope.py")
    return scope


def enter(scope: Scope) -> Scope | None:
    """Stand inside a scope from now on; gives what ``leave`` takes. For whoever cannot write a ``with``."""
    before = _here.get()
    _here.set(scope)
    return before


def leave(before: Scope | None) -> None:
    """Go back to what ``enter`` found."""
    _here.set(before)


@contextmanager
def within(project_id: str) -> Iterator[None]:
    """Touch this project's rows alone."""
    before = enter(project_id)
    try:
        yield
    finally:
        leave(before)


@contextmanager
def everywhere(why: str) -> Iterator[None]:
    """Touch the rows of every project for a while."""
    before = enter(Everywhere(why))
    try:
        yield
    finally:
        leave(before)


def whole_process(why: str | None) -> None:
    """What holds in this process where nothing else is said: every project, or with None nobody's."""
    global _process  # noqa: PLW0603 - a process is one thing
    _process = Nowhere() if why is None else Everywhere(why)
