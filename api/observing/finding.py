"""What a check found, in words for whoever is responsible for the machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """``detail`` says what is, ``do`` what to do where it is not ok. Neither holds a host, a user or a secret."""

    state: State
    detail: str
    do: str = ""
    milliseconds: float = 0.0


def fine(detail: str) -> Finding:
    """All is well."""
    return Finding("ok", detail)


def warn(detail: str, do: str) -> Finding:
    """It works, yet someone should look."""
    return Finding("warn", detail, do)


def fail(detail: str, do: str) -> Finding:
    """It does not work."""
    return Finding("fail", detail, do)
