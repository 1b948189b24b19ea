"""Which workers live: each says so every few seconds, so that another can take over the runs of one that died.

The database's clock alone is read: workers' own may differ. A worker that could not say so for a while - the database
was away, the machine stood still - trusts nobody's silence until it has been heard for as long itself.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import threading
import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import IO

from sqlalchemy import Select, delete, func, select, type_coerce
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from api.ground.database import UtcDateTime
from api.ground.ground import Ground
from api.ground.ids import new_id
from api.problems import Conflict
from api.training.tables import WorkerRow
from clinical_mm.digests import content_hash

log = logging.getLogger(__name__)
BEAT_S = 3.0
SILENT_S = 15.0
"""Who has said nothing for so long is taken for dead."""
_SLOTS = 64


class Heartbeat:
    """One worker's word that it lives; ``token`` is this process's alone, ``worker_id`` stays over restarts."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._slot, self.worker_id = _place(ground)
        self.token = new_id("worker")
        self.lost = False
        """Whether another process goes by this id now: it thought this one dead."""
        self._heard_in_a_row = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_on, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Say it for the first time, then go on; raises Conflict where another process lives under the same id.

        One that was killed is waited for until its silence tells.
        """
        deadline = time.monotonic() + SILENT_S + BEAT_S
        while (other := self._claim()) is not None:
            if time.monotonic() > deadline:
                raise Conflict(
                    f"another worker named {self.worker_id!r} is at work, process {other.pid} on {other.host}: "
                    "give each worker a CLINICAL_MM_WORKER_ID of its own"
                )
            self._stop.wait(BEAT_S / 3)
        self._thread.start()

    def _claim(self) -> WorkerRow | None:
        host, pid = socket.gethostname(), os.getpid()
        with self._ground.database.transaction() as session:
            other = session.get(WorkerRow, self.worker_id, with_for_update=True)
            if other is not None and _lives(other, session, host, pid):
                return other
            session.merge(WorkerRow(id=self.worker_id, token=self.token, host=host, pid=pid, seen_at=_now(session)))
            return None

    def silent(self, worker_ids: Iterable[str]) -> set[str]:
        """Those of these workers that are dead; none of them while this one has not been heard for long enough."""
        asked = set(worker_ids) - {self.worker_id}
        if not asked or self._heard_in_a_row < SILENT_S:
            return set()
        with self._ground.database.reading() as session:
            alive = session.scalars(select(WorkerRow.id).where(WorkerRow.token.in_(living(session))))
            return asked - set(alive)

    def end(self) -> None:
        """Take it back: what this worker has begun may be taken over at once."""
        self._stop.set()
        try:
            with self._ground.database.transaction() as session:
                session.execute(delete(WorkerRow).where(WorkerRow.token == self.token))
        except SQLAlchemyError as error:  # then it is dead to the others a little later
            log.warning("the database does not answer: %s", type(error).__name__)
        if self._slot is not None:
            self._slot.close()

    def _keep_on(self) -> None:
        while not self._stop.wait(BEAT_S):
            try:
                with self._ground.database.transaction() as session:
                    self._say(session)
                if self.lost:
                    log.error("another process took the name %s: it thought this one dead", self.worker_id)
                    return
                self._heard_in_a_row += BEAT_S
            except SQLAlchemyError as error:
                self._heard_in_a_row = 0.0
                log.warning("the database does not answer: %s", type(error).__name__)

    def _say(self, session: Session) -> None:
        row, moment = session.get(WorkerRow, self.worker_id, with_for_update=True), _now(session)
        if row is None:
            row = WorkerRow(id=self.worker_id, token=self.token, host=socket.gethostname(), pid=os.getpid())
            session.add(row)
        elif row.token != self.token:
            self.lost = True
            return
        elif (moment - row.seen_at).total_seconds() > SILENT_S:
            self._heard_in_a_row = 0.0
        row.seen_at = moment


def living(session: Session) -> Select[str]:
    """A query for the tokens of those that were heard of lately."""
    return select(WorkerRow.token).where(WorkerRow.seen_at > _now(session) - timedelta(seconds=SILENT_S))


def _now(session: Session) -> datetime:
    moment: datetime = session.scalars(select(type_coerce(func.now(), UtcDateTime()))).one()
    return moment


def _lives(other: WorkerRow, session: Session, host: str, pid: int) -> bool:
    """Of this machine it is known; of another it is believed for as long as it was heard of lately."""
    if other.host == host and (other.pid == pid or not _exists(other.pid)):
        return False
    return (_now(session) - other.seen_at).total_seconds() < SILENT_S


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _place(ground: Ground) -> tuple[IO[bytes] | None, str]:
    """The id as set; else one of machine and workspace, with the first number that no living worker of it has."""
    if ground.settings.worker_id:
        return None, ground.settings.worker_id
    workspace = ground.settings.workspace.resolve()
    folder = workspace / "workers"
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{socket.gethostname()[:40]}-{content_hash(str(workspace).encode()).hexdigest()[:8]}"
    for number in range(_SLOTS):
        file = (folder / str(number)).open("wb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            continue
        return file, f"{name}-{number}"
    raise Conflict(f"{_SLOTS} workers are at work in {workspace} already")
