"""Sessions and transactions: one transaction a request, the same code on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, Connection, DateTime, Engine, MetaData, NullPool, create_engine, event, text
from sqlalchemy.engine import URL, Dialect, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.types import TypeDecorator

from api.ground import fence, scope
from api.ground.lines import Lines
from api.ground.pulse import Pulse
from api.ground.wiping import BUSY_MS, wipe

CONNECT_S = 2
"""The least that libpq takes."""
POOL, POOL_WAIT_S = 10, 1.5
"""Connections that a process keeps, and as many again under load; how long a request waits for one."""
SOON_S = 1.2
"""So long a request waits for a new one."""
MOMENT_MS = 200
"""So long a hurried transaction waits for another writer."""
SQLITE_PATIENT = ("synchronous=FULL", f"busy_timeout={BUSY_MS}")
SQLITE_HURRIED = ("synchronous=NORMAL", f"busy_timeout={MOMENT_MS}")
_HURRIED = "hurried"
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

    def __init_subclass__(cls, **options: Any) -> None:
        """Raises TypeError where a table has a project and is not fenced."""
        super().__init_subclass__(**options)
        fence.fence(cls)


class FencedSession(Session):
    """A session of one project, or by name of every project (``scope.py``)."""


fence.install(FencedSession)


class Database:
    """One engine and its sessions; each is of the project in force when it is opened (``scope.py``)."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = _engine(url)
        self._sessions = sessionmaker(self.engine, class_=FencedSession, expire_on_commit=False)
        self._pulse: Pulse | None = None
        self._connecting: ThreadPoolExecutor | None = None

    @property
    def is_away(self) -> bool:
        """Whether it is known not to answer; never where no watch is kept."""
        return self._pulse is not None and self._pulse.is_away

    def keep_watch(self) -> None:
        """From now on nobody waits long for a database that is silent: DatabaseAway is raised. SQLite never is."""
        if self.engine.dialect.name == "sqlite" or self._pulse is not None:
            return
        lines = Lines(self.engine)
        asking = create_engine(self.engine.url, hide_parameters=True, poolclass=NullPool, connect_args=PATIENT)
        own = Lines(asking)

        def cut() -> None:
            lines.cut()
            own.cut()

        pulse = Pulse("database", _Asking(asking), (SQLAlchemyError,), cut)
        self._connecting = ThreadPoolExecutor(2 * POOL, thread_name_prefix="connect")
        event.listen(self.engine, "do_connect", partial(self._connect, self._connecting))
        self._pulse = pulse
        pulse.start()

    @contextmanager
    def transaction(self, *, hurried: bool = False) -> Iterator[Session]:
        """A session whose work is committed whole at the end, or not at all when anything is raised.

        With ``hurried`` it waits neither for the disk nor, longer than a moment, for another writer (OperationalError).
        A crash of this process loses nothing then, one of the machine may lose the newest such commits, never an older
        one before a newer one.
        """
        self._refuse()
        with self._sessions(info={"scope": scope.here()}) as session, session.begin():
            session.connection(execution_options={"hurried": hurried})
            yield session

    def at_commit(
        self, before: Callable[[Session], None], after: Callable[[Session], None], undone: Callable[[Session], None]
    ) -> None:
        """Call ``before`` as the last thing in every transaction; then ``after`` when it is stored, else ``undone``."""

        def outermost(act: Callable[[Session], None]) -> Callable[[Session], None]:
            return lambda session: None if session.in_nested_transaction() else act(session)

        event.listen(self._sessions, "before_commit", outermost(before))
        event.listen(self._sessions, "after_commit", outermost(after))
        event.listen(self._sessions, "after_rollback", outermost(undone))

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that only reads: on SQLite it waits for no writer and lets none wait."""
        self._refuse()
        with self._sessions(info={"scope": scope.here()}) as session:
            session.connection(execution_options={"reading": True})
            yield session

    def settle(self, *tables: str, patience_s: float) -> None:
        """Wait until each transaction that has written to these tables is over; else raises OperationalError.

        PostgreSQL goes on with a commit whose client was killed. SQLite's transactions end with their process.
        """
        if self.engine.dialect.name == "sqlite":
            return
        for table in tables:  # one lock at a time: whoever holds one and waits for another never waits for us
            with self.engine.begin() as connection:
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = {patience_s * 1000:.0f}")
                connection.exec_driver_sql(f"LOCK TABLE {table} IN SHARE MODE")

    def wipe(self) -> None:
        """After erasing: let nothing of it lie in the log or among dead rows (``wiping.py``)."""
        wipe(self.engine)

    def dispose(self) -> None:
        """Close every connection."""
        if self._pulse is not None:
            self._pulse.stop()
        if self._connecting is not None:
            self._connecting.shutdown(wait=False)
        self.engine.dispose()

    def _connect(
        self,
        connecting: ThreadPoolExecutor,
        dialect: Dialect,
        _record: object,
        given: Sequence[Any],
        named: Mapping[str, Any],
    ) -> Any:
        """A new connection, soon or not at all: libpq by itself waits two seconds at least."""
        self._refuse()
        made = connecting.submit(dialect.connect, *given, **named)
        try:
            return made.result(SOON_S)
        except TimeoutError as error:
            made.add_done_callback(_close)
            raise DatabaseAway("the database does not answer") from error

    def _refuse(self) -> None:
        if self.is_away:
            raise DatabaseAway("the database does not answer")


def _close(late: Future[Any]) -> None:
    if late.exception() is None:
        late.result().close()


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
        engine = _postgresql(parsed)
        event.listen(engine, "begin", _begin_postgresql)
        return engine
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, hide_parameters=True, connect_args={"timeout": 30})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _postgresql(url: URL) -> Engine:
    return create_engine(
        url,
        pool_pre_ping=True,
        hide_parameters=True,
        pool_size=POOL,
        max_overflow=POOL,
        pool_timeout=POOL_WAIT_S,
        connect_args=PATIENT,
    )


def _begin_sqlite(connection: Connection) -> None:
    # Ours is sent at the start of each transaction, since the driver's own comes too late for a consistent read;
    # IMMEDIATE where it may write, so that two writers wait for each other instead of failing half way.
    options = connection.get_execution_options()
    if options.get("reading", False):
        connection.exec_driver_sql("BEGIN")
        return
    hurried = options.get("hurried", False)
    if (
        connection.info.get(_HURRIED, False) != hurried
    ):  # these are the connection's, and not to be set in a transaction
        for pragma in SQLITE_HURRIED if hurried else SQLITE_PATIENT:
            connection.exec_driver_sql(f"PRAGMA {pragma}")
        connection.info[_HURRIED] = hurried
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_postgresql(connection: Connection) -> None:
    if connection.get_execution_options().get("hurried", False):
        connection.exec_driver_sql(f"SET LOCAL synchronous_commit = off; SET LOCAL lock_timeout = {MOMENT_MS}")


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "foreign_keys=ON", "secure_delete=ON", *SQLITE_PATIENT):
        cursor.execute(f"PRAGMA {pragma}")  # secure_delete: what is erased is overwritten in the file
    cursor.close()
