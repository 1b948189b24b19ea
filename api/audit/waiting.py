"""Entries that wait outside the database, which could not take them at once: another call writes, the disk is full.

A reader does not wait for a writer, and goes on reading when nothing can be stored; but no answer leaves before its
entry lies somewhere. It lies here, in a file of this process whose place on the disk was taken beforehand, and enters
the chain with the next entry that does. What a process leaves behind when it dies, the next one takes up. Calls for
which there is no place are refused, and the chain tells how many.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from api.audit.call import this_machine
from api.audit.chain import canonical
from api.ground.database import DatabaseAway
from api.ground.ids import new_id

RESERVED = 2**20
"""Bytes that are taken beforehand: room for about 2,500 entries."""
_END = b"\0"
MARK = "waited_as"
OVERFLOW = "trail.overflow"


class Waiting:
    """The entries of this process that wait; none is ever in two hands."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._file: int | None = None
        self._path: Path | None = None
        self._used = 0
        self._entries: list[dict[str, Any]] = []
        self._taken = 0
        self._refused = 0

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._entries)

    def reserve(self) -> None:
        """Take the place on the disk, so that it is there when the disk is full."""
        with self._lock:
            self._open()

    def put(self, entry: dict[str, Any]) -> None:
        """Let an entry wait.

        Raises:
            DatabaseAway: so many wait already that it must be refused.
            OSError: the disk has no place for the file.
        """
        marked = {**entry, "detail": {**entry["detail"], MARK: new_id("entry")}}
        line = canonical(marked) + b"\n"
        with self._lock:
            file = self._open()
            if self._used + len(line) + 1 > RESERVED:
                self._refused += 1
                raise DatabaseAway("no room for more entries of the audit trail until the database takes them")
            os.pwrite(file, line + _END, self._used)
            self._used += len(line)
            self._entries.append(marked)

    def take(self) -> list[dict[str, Any]]:
        """What waits; to be given back by ``put_back``, or forgotten by ``forget`` when it is stored."""
        if not self._entries:
            return []
        with self._lock:
            if self._refused:
                self._entries.append(_of_refused(self._refused))
                self._refused = 0
            taken, self._entries = self._entries, []
            self._taken += len(taken)
        return taken

    def put_back(self, taken: list[dict[str, Any]]) -> None:
        """They could not be stored."""
        if not taken:
            return
        with self._lock:
            self._refused += sum(entry["detail"]["calls"] for entry in taken if entry["action"] == OVERFLOW)
            self._entries = [*(entry for entry in taken if entry["action"] != OVERFLOW), *self._entries]
            self._taken -= len(taken)

    def forget(self, taken: list[dict[str, Any]]) -> None:
        """They are in the chain now."""
        if not taken:
            return
        with self._lock:
            self._taken -= len(taken)
            if not self._taken and not self._entries and self._file is not None:
                os.pwrite(self._file, _END, 0)
                self._used = 0

    def left_behind(self) -> Iterator[tuple[Path, list[dict[str, Any]]]]:
        """What processes that have ended left: their files, each with its entries; nobody else gets the same."""
        for path in sorted(self._folder.glob("*.waiting")):
            with suppress(FileNotFoundError), path.open("r+b") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue  # its process lives
                yield path, [json.loads(line) for line in file.read().partition(_END)[0].splitlines()]

    def close(self) -> None:
        """Give the place back where nothing waits."""
        with self._lock:
            if self._file is None or self._path is None:
                return
            if not self._entries:
                self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None

    def _open(self) -> int:
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._path = self._folder / f"{new_id('process')}.waiting"
            fresh = self._path.with_suffix(".new")  # locked before others see it
            self._file = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX)
            os.posix_fallocate(self._file, 0, RESERVED)
            fresh.rename(self._path)
        return self._file


def _of_refused(calls: int) -> dict[str, Any]:
    """One entry for the calls that could have none of their own."""
    about = {"action": OVERFLOW, "object_type": "trail", "object_id": "", "result": "503"}
    who = {"project_id": None, "actor": "not told", "role": "none"}
    return {**about, **who, "source": this_machine(), "route": "", "request_id": None, "detail": {"calls": calls}}
