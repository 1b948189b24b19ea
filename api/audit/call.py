"""The call that is being answered: who asks, from where, for what. One entry of the trail tells it."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field

from api.access.service import Caller
from api.ground.ids import FORM

_ID = re.compile(FORM)


@dataclass
class Call:
    """One request, or one command; ``entered`` once the trail holds its entry."""

    action: str
    object_type: str
    object_id: str
    source: str
    """The address it came from."""
    route: str
    """The route or command, never a path: a path may hold what the caller typed."""
    request_id: str | None = None
    caller: Caller | None = None
    cases: list[str] = field(default_factory=list)
    """The cases that a list showed."""
    infected: list[str] = field(default_factory=list)
    """The signatures of files that were refused for them."""
    entered: bool = False


_CURRENT: ContextVar[Call | None] = ContextVar("call", default=None)


def begin(call: Call) -> None:
    """From now on, in this thread, everything that is recorded belongs to this call."""
    _CURRENT.set(call)


def end() -> None:
    """What follows belongs to no call."""
    _CURRENT.set(None)


def current() -> Call | None:
    """The call that this thread answers; None in jobs."""
    return _CURRENT.get()


def shows(cases: Iterable[str]) -> None:
    """Tell the trail which cases the answer to this call is about to show."""
    call = current()
    if call is not None:
        call.cases.extend(cases)


def infected(signature: str) -> None:
    """Tell the trail what the virus scanner found in a file that came with this call."""
    call = current()
    if call is not None:
        call.infected.append(signature)


def told_as(action: str) -> None:
    """Name what this call does, where its route alone does not say it."""
    call = current()
    if call is not None:
        call.action = action


def known_id(text: object) -> str:
    """The text where it has the form of an identifier of ours (``ground/ids.py``), else nothing.

    What a caller types into a path may be a patient's name, and has no place in the trail.
    """
    return text if isinstance(text, str) and _ID.fullmatch(text) else ""


def this_machine() -> str:
    """From where jobs and commands come."""
    return f"{socket.gethostname()}, user {os.getuid()}"[:80]
