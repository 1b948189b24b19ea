"""One training process a folder: checkpoints of two would be mixed up."""

from __future__ import annotations

import fcntl
import logging
from pathlib import Path
from typing import IO

_log = logging.getLogger(__name__)
_held: list[IO[bytes]] = []


def alone_in(folder: Path) -> None:
    """Wait until no other process trains in ``folder``; the place is this process's until it ends, however it ends."""
    file = (folder / "lock").open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _log.warning("another process trains in %s: waiting until it ends", folder)
        fcntl.flock(file, fcntl.LOCK_EX)
    _held.append(file)
