"""When keys, people and sessions were last used: noted in memory, written together about once a minute.

A request must not wait for a writer only to say that it happened.
"""

from __future__ import annotations

import logging
import threading
from datetime import datetime

from sqlalchemy import or_, update
from sqlalchemy.exc import SQLAlchemyError

from api.access.tables import ApiKeyRow, PersonRow, SessionRow
from api.ground.clock import now
from api.ground.database import Database
from api.ground.scope import everywhere

log = logging.getLogger(__name__)
EVERY_S = 30.0
Used = type[ApiKeyRow] | type[PersonRow] | type[SessionRow]


class Uses:
    """Notes of this process, and the thread that writes them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._noted: dict[tuple[Used, str], datetime] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def note(self, row: ApiKeyRow | PersonRow | SessionRow) -> None:
        """It is used now."""
        with self._lock:
            self._noted[type(row), row.id] = now()
            if self._thread is None:  # not before: a process that forks would leave it behind
                self._thread = threading.Thread(target=self._keep, name="last used", daemon=True)
                self._thread.start()

    def last(self, row: ApiKeyRow | PersonRow | SessionRow) -> datetime | None:
        """When it was used last, as far as this process knows."""
        with self._lock:
            noted = self._noted.get((type(row), row.id))
        return max((at for at in (noted, row.last_used_at) if at is not None), default=None)

    def write(self) -> None:
        """Store what is noted; raises SQLAlchemyError, and keeps it then."""
        with self._lock:
            noted, self._noted = self._noted, {}
        try:
            with everywhere("uses of all projects are written together"), self._database.transaction() as session:
                for (table, id_), at in sorted(noted.items(), key=lambda note: (note[0][0].__name__, note[0][1])):
                    older = or_(table.last_used_at.is_(None), table.last_used_at < at)
                    session.execute(update(table).where(table.id == id_, older).values(last_used_at=at))
        except SQLAlchemyError:
            with self._lock:
                self._noted = {**noted, **self._noted}
            raise

    def close(self) -> None:
        """End the thread and write what is left."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
            self._write_if_possible()

    def _keep(self) -> None:
        while not self._stop.wait(EVERY_S):
            self._write_if_possible()

    def _write_if_possible(self) -> None:
        try:
            if self._noted:
                self.write()
        except SQLAlchemyError as error:  # the database is away: it stays noted
            log.warning("when keys were used could not be stored yet: %s", type(error).__name__)
