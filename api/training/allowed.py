"""Which weights, models and networks a training run that is asked for over the API may name: those on a list.

Else whoever may train could have the server read any file, or ask any hub, and learn from the answer what is there.
The command line is not bound by it: whoever has that has the machine.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from fnmatch import fnmatchcase
from functools import cache
from pathlib import PurePosixPath

from api.problems import Invalid, PointedError, pointer
from clinical_mm.borrowed import borrowed
from clinical_mm.config import ModelConfig, known_configs

NETWORK = "modalities.imaging.network.name"


def refuse_unlisted(config: ModelConfig, listed: str, changed: Collection[str]) -> None:
    """Hold a configuration to what comes along and what is ``listed`` (CLINICAL_MM_WEIGHTS); no file is looked for.

    ``changed``: the dotted names that the caller has set, for the pointers.

    Raises:
        Invalid: it names something else; told is what it may name, and whom to ask.
    """
    entries = [entry.strip() for entry in listed.split(",") if entry.strip()]
    ask = "ask whoever runs this service to list more (CLINICAL_MM_WEIGHTS)"
    faults = {
        name: f"{name} may be {_allowed(name, entries)}; {ask}"
        for name, value in borrowed(config)
        if not _is_listed(name, value, entries)
    }
    if faults:
        errors = [PointedError(pointer=_pointer(name, changed), detail=detail) for name, detail in faults.items()]
        raise Invalid("; ".join(faults.values()), errors=errors)


def _is_listed(name: str, value: str, entries: Collection[str]) -> bool:
    return value in _shipped(name) or any(_fits(value, entry) for entry in entries) or value in _tested(name)


def _fits(value: str, entry: str) -> bool:
    """``folder/`` is everything below it; else a name, or a pattern as the shell's."""
    path = PurePosixPath(value)
    if ".." in path.parts:
        return False
    if not entry.endswith("/"):
        return fnmatchcase(value, entry)
    if not path.is_absolute():  # a hub's owner/name may look like a path below where the service was started
        return False
    folder = os.path.realpath(entry)  # wherever links lead
    return os.path.commonpath([folder, os.path.realpath(value)]) == folder


def _allowed(name: str, entries: Collection[str]) -> str:
    known = sorted({*_shipped(name), *_tested(name), *entries})
    return f"one of {', '.join(known)}" if known else "left out alone"


@cache
def _shipped(name: str) -> frozenset[str]:
    """What the configurations that come along name."""
    named = (pair for config in known_configs() for pair in borrowed(ModelConfig.load(config)))
    return frozenset(value for at, value in named if at == name)


def _tested(name: str) -> Collection[str]:
    if name != NETWORK:
        return ()
    from clinical_mm.vision.networks import KNOWN  # torch: only where a caller names a network that none here does

    return KNOWN


def _pointer(name: str, changed: Collection[str]) -> str:
    """To what the caller set: the value, or what holds it; a search is pointed at where it names the value."""
    near = (key for key in changed if f"{name}.".startswith(f"{key}.") or key.startswith(f"{name}."))
    key = next(near, None) or next((key for key in changed if key.split(".")[0] == "search"), None)
    return pointer(("set",) if key is None else ("set", key))
