"""Anchors: the end of the chain, written from time to time to a file outside the database.

A line is JSON: ``sequence``, ``hash``, ``at``, ``previous`` (the signature of the line before) and ``signature`` (HMAC
by the installation's secret). What an anchor has told of cannot be cut off or written anew in the database unnoticed;
what came after the newest anchor is held by the head's signature alone. Whoever has the database, this file and the
secret can make all three agree: that is what a copy on write-once storage is for.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from api.audit.chain import HEAD, canonical, is_signed, moment_text, put_head, sign
from api.ground.clock import now
from api.ground.database import Database
from api.ground.scope import everywhere

log = logging.getLogger(__name__)
EVERY_S = 60
_TAIL = 4096
_ANCHORING = 727276
"""PostgreSQL's advisory lock for this; ground/migrate.py and ground/search.py have the two before."""


@dataclass(frozen=True)
class Anchor:
    """One line: the entry it vouches for, and whether it is as it was written."""

    line: int
    sequence: int
    hash: str
    at: str
    fault: str | None


@dataclass(frozen=True)
class Newest:
    """How far the trail is anchored, and since when."""

    sequence: int
    at: datetime


class Anchors:
    """The anchors of an installation; several processes may write them."""

    def __init__(
        self, database: Database, path: Path, lock: Path, key: bytes, first: Callable[[], None] = lambda: None
    ) -> None:
        """``first`` is called before each anchor that the thread writes."""
        self.path, self._first = path, first
        self._database, self._lock, self._key = database, lock, key
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Write one now, and one every minute in which the trail grew, in a thread."""
        self._thread = threading.Thread(target=self._keep, name="audit anchors", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End that thread, and anchor what it had not."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._try()

    def write(self) -> int:
        """Anchor the end of the chain where it is not yet; gives the entry that is anchored now.

        The database is flushed to the disk before the file is: an anchor never tells of what a power cut undoes.
        """
        with everywhere("the chain runs through every project"), self._alone(), self._alone_of_all_machines():
            last = self._last()
            known = int(last.get("sequence", 0))
            with self._database.transaction() as session:
                connection = session.connection()
                row = connection.execute(select(HEAD.c.sequence, HEAD.c.hash, HEAD.c.anchored).with_for_update()).one()
                if row.sequence > known or row.anchored != known:
                    put_head(connection, self._key, row.sequence, row.hash, max(row.anchored, known))
            if row.sequence > known:
                self._append({"sequence": row.sequence, "hash": row.hash}, str(last.get("signature", "")))
        return max(int(row.sequence), known)

    def newest(self) -> Newest | None:
        """The newest anchor; None where there is none."""
        last = self._last()
        return Newest(last["sequence"], datetime.fromisoformat(last["at"])) if last else None

    def _append(self, told: dict[str, Any], previous: str) -> None:
        line = {**told, "at": moment_text(now()), "previous": previous}
        text = canonical({**line, "signature": sign(self._key, line)}) + b"\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            size = os.fstat(descriptor).st_size
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            os.write(descriptor, b"\n" + text if torn else text)  # torn: by a crash in the midst of it
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _last(self) -> dict[str, Any]:
        """The newest line that is whole and ours; it is sought from the end."""
        try:
            with self.path.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
                lines = file.read().split(b"\n")
        except FileNotFoundError:
            return {}
        return next((told for text in reversed(lines) if (told := self._own(text)) is not None), {})

    def _own(self, text: bytes) -> dict[str, Any] | None:
        told = _parsed(text)
        if told is None:
            return None
        signed = {name: value for name, value in told.items() if name != "signature"}
        return told if is_signed(self._key, signed, told["signature"]) else None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        with self._lock.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _alone_of_all_machines(self) -> Iterator[None]:
        """Machines that share a database share the anchors' file too; on SQLite there is one machine."""
        if self._database.engine.dialect.name != "postgresql":
            yield
            return
        with self._database.reading() as session:
            session.connection().execute(select(func.pg_advisory_xact_lock(_ANCHORING)))
            yield

    def _keep(self) -> None:
        self._try()
        while not self._stop.wait(EVERY_S):
            self._try()

    def _try(self) -> None:
        try:
            self._first()
            self.write()
        except (OSError, SQLAlchemyError):  # the next minute tries again; what waits is held by the head
            log.exception("the audit trail could not be anchored")


def read_anchors(path: Path, key: bytes) -> Iterator[Anchor]:
    """The anchors of a file, oldest first, one at a time; a line that a crash tore is left out.

    Lines that are added while this reads are not read.
    """
    previous = ""
    with path.open("rb") as file:
        end = os.fstat(file.fileno()).st_size
        for number, text in enumerate(file, 1):
            told = _parsed(text)
            if told is not None:
                signature = told.pop("signature")
                fault = None
                if not is_signed(key, told, signature):
                    fault = "is not signed by this installation"
                elif told["previous"] != previous:
                    fault = "does not follow the line before it"
                yield Anchor(number, told["sequence"], told["hash"], told["at"], fault)
                previous = signature
            if file.tell() >= end:
                return


def _parsed(text: bytes) -> dict[str, Any] | None:
    """A line that is whole; None for another."""
    try:
        told = json.loads(text)
    except ValueError:
        return None
    kinds = {"sequence": int, "hash": str, "at": str, "previous": str, "signature": str}
    if isinstance(told, dict) and told.keys() == kinds.keys() and all(isinstance(told[k], t) for k, t in kinds.items()):
        return told
    return None
