"""Sessions and transactions: one transaction a request, the same code on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, Connection, DateTime, Engine, MetaData, NullPool, create_engine, event, text
from sqlalchemy.engine import URL, Dialect, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.types import TypeDecorator

from api.ground.lines import Lines
from api.ground.pulse import Pulse

CONNECT_S = 2
"""The least that libpq takes."""
POOL, POOL_WAIT_S = 10, 1.5
"""Connections that a process keeps, and as many again under load; how long a request waits for one."""
BUSY_MS = 30_000
PATIENT = {
    "connect_timeout": CONNECT_S,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""A server whose machine is gone is noticed in seconds, by whoever keeps no watch too."""


class DatabaseAway(SQLAlchemyError):
    """The database does not answer at present; nothing was asked of it."""


class UtcDateTime(TypeDecorator[datetime]):
    """A moment with its zone; SQLite, which has none, stores and gives back UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC on the way in."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """With its zone on the way out."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Parent of every table; constraint names are stated so that migrations can name them on every database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {dict[str, Any]: JSON, list[str]: JSON, list[Any]: JSON, datetime: UtcDateTime}  # noqa: RUF012


class Database:
    """One engine and its sessions."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = _engine(url)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        self._pulse: Pulse | None = None

    @property
    def is_away(self) -> bool:
        """Whether it is known not to answer; never where no watch is kept."""
        return self._pulse is not None and self._pulse.is_away

    def keep_watch(self) -> None:
        """From now on nobody waits long for a database that is silent: DatabaseAway is raised. SQLite never is."""
        if self.engine.dialect.name == "sqlite" or self._pulse is not None:
            return
        lines = Lines(self.engine)
        asking = create_engine(self.engine.url, poolclass=NullPool, connect_args=PATIENT)
        own = Lines(asking)
        pulse = Pulse("database", _Asking(asking), (SQLAlchemyError,), lambda: (lines.cut(), own.cut()))
        event.listen(self.engine, "do_connect", self._refuse)
        self._pulse = pulse
        pulse.start()

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session whose work is committed whole at the end, or not at all when anything is raised."""
        self._refuse()
        with self._sessions.begin() as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that only reads: on SQLite it waits for no writer and lets none wait."""
        self._refuse()
        with self._sessions() as session:
            session.connection(execution_options={"reading": True})
            yield session

    def dispose(self) -> None:
        """Close every connection."""
        if self._pulse is not None:
            self._pulse.stop()
        self.engine.dispose()

    def _refuse(self, *_: object) -> None:
        if self.is_away:
            raise DatabaseAway("the database does not answer")


class _Asking:
    """One row, on a connection that is kept."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None

    def __call__(self) -> None:
        if self._connection is None:
            self._connection = self._engine.connect()
        try:
            self._connection.execute(text("SELECT 1"))
            self._connection.rollback()
        except SQLAlchemyError:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None
            raise


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return _postgresql(parsed)
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, connect_args={"timeout": 30})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _postgresql(url: URL) -> Engine:
    return create_engine(
        url, pool_pre_ping=True, pool_size=POOL, max_overflow=POOL, pool_timeout=POOL_WAIT_S, connect_args=PATIENT
    )


def _begin_sqlite(connection: Connection) -> None:
    # Ours is sent at the start of each transaction, since the driver's own comes too late for a consistent read;
    # IMMEDIATE where it may write, so that two writers wait for each other instead of failing half way.
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={BUSY_MS}",
        "secure_delete=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")  # secure_delete: what is erased is overwritten in the file
    cursor.close()
