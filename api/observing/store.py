"""What the database tells of itself: does it answer, is it migrated, what is its time, do workers live.

On a connection of its own, so that a pool whose connections are all in use is not taken for a database that is away.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, NullPool, create_engine, func, select, type_coerce
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from api.ground.clock import now
from api.ground.database import UtcDateTime
from api.ground.migrate import revisions
from api.observing.finding import Finding, fail, fine, warn
from api.training.heartbeat import SILENT_S
from api.training.tables import WorkerRow

SKEW_S = 2.0
OLDEST_POSTGRESQL = 140000
REFUSED = {
    "28P01": ("it refuses the password", "set the right password in CLINICAL_MM_DATABASE_URL"),
    "28000": ("it refuses the user", "let the user of CLINICAL_MM_DATABASE_URL in (pg_hba.conf, roles)"),
    "3D000": ("there is no such database", "create it, or correct its name in CLINICAL_MM_DATABASE_URL"),
    "53300": ("it has too many connections already", "raise max_connections, or run fewer processes"),
    "57P03": ("it starts, stops or recovers", "wait; else look into its log"),
    "55000": ("it accepts no connections at present", "ALTER DATABASE ... ALLOW_CONNECTIONS true"),
    "57014": ("it took too long", "look for locks and load in pg_stat_activity"),
    "42501": ("it refuses a permission", "grant the user its schema and tables"),
}
"""SQLSTATE (PostgreSQL, appendix A) -> what it means and what to do."""
WORDS = {
    "password authentication failed": "28P01",
    'role "': "28000",
    "no pg_hba.conf entry": "28000",
    "does not exist": "3D000",
    "too many clients": "53300",
    "connection slots": "53300",
    "starting up": "57P03",
    "shutting down": "57P03",
    "recovery": "57P03",
    "not currently accepting": "55000",
}
"""What the driver tells in words alone, where it is refused at the door."""
START = "start it, and see that CLINICAL_MM_DATABASE_URL names it and no firewall stands between"
UNKNOWN = warn("not known while the database does not answer", "mend the database first")
INDEX_WORDS = (
    "as its superuser run `CREATE EXTENSION IF NOT EXISTS pg_trgm; CREATE INDEX CONCURRENTLY ix_cases_words ON cases "
    "USING gin (external_id gin_trgm_ops, patient_id gin_trgm_ops, note gin_trgm_ops)`"
)
UPGRADE = "run `clinical-mm db upgrade`, or restart `serve`, which does so"


class Store:
    """Looks at one database."""

    def __init__(self, url: str) -> None:
        self._url: URL = make_url(url)
        self._sqlite = self._url.get_backend_name() == "sqlite"
        within = {"timeout": 1} if self._sqlite else {"connect_timeout": 2}
        self._engine = create_engine(self._url, poolclass=NullPool, connect_args=within)

    def look(self) -> dict[str, Finding]:
        """``database``, ``workers`` and ``clock``, on one connection."""
        if self._sqlite and self._url.database and not Path(self._url.database).is_file():
            return {"database": fail("its file is not there", UPGRADE), "workers": UNKNOWN, "clock": UNKNOWN}
        try:
            with self._engine.connect() as connection:
                if not self._sqlite:
                    connection.exec_driver_sql("SET statement_timeout = 1000")
                migrated = self._migrated(connection)
                if migrated.state == "fail":
                    return {"database": migrated, "workers": UNKNOWN, "clock": UNKNOWN}
                return {"database": migrated, "workers": _workers(connection), "clock": self._clock(connection)}
        except SQLAlchemyError as error:
            return {"database": away(error, sqlite=self._sqlite), "workers": UNKNOWN, "clock": UNKNOWN}

    def version(self) -> Finding:
        """Of PostgreSQL, or of SQLite; raises SQLAlchemyError."""
        with self._engine.connect() as connection:
            if self._sqlite:
                return fine(f"SQLite {connection.exec_driver_sql('SELECT sqlite_version()').scalar_one()}")
            number = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one())
        told = f"PostgreSQL {number // 10000}.{number % 10000}"
        if number < OLDEST_POSTGRESQL:
            return warn(f"{told}, which its makers no longer mend", f"move to {OLDEST_POSTGRESQL // 10000} or newer")
        return fine(told)

    def words(self) -> Finding:
        """Whether words of ids and notes are looked up, or looked for case by case; raises SQLAlchemyError."""
        if self._sqlite:
            return fine("case by case, as SQLite does: seconds among a million")
        with self._engine.connect() as connection:
            if _revision(connection) is None:
                return warn("not known while there are no tables", UPGRADE)
            found = connection.exec_driver_sql("SELECT to_regclass('ix_cases_words')").scalar_one()
        return warn("case by case: seconds among a million", INDEX_WORDS) if found is None else fine("by an index")

    def _migrated(self, connection: Connection) -> Finding:
        here, known = _revision(connection), revisions()
        if here is None:
            return fail("it has no tables yet", UPGRADE)
        if here == known[0]:
            return fine(f"at revision {here}")
        if here in known:
            return fail(f"at revision {here}, this version wants {known[0]}", UPGRADE)
        return warn(f"at revision {here}, of a newer version than this", "upgrade this process too")

    def _clock(self, connection: Connection) -> Finding:
        if self._sqlite:
            return fine("the database has no clock of its own")
        before = now()
        theirs: datetime = connection.scalar(select(type_coerce(func.clock_timestamp(), UtcDateTime())))  # type: ignore[assignment]
        return skew(before + (now() - before) / 2, theirs)


def skew(ours: datetime, theirs: datetime) -> Finding:
    """How far this machine's clock is from the database's."""
    seconds = (ours.astimezone(UTC) - theirs.astimezone(UTC)).total_seconds()
    if abs(seconds) > SKEW_S:
        side = "ahead of" if seconds > 0 else "behind"
        return warn(f"{abs(seconds):.1f} s {side} the database's", "let both machines keep time (chrony, ntpd)")
    return fine(f"{abs(seconds):.2f} s from the database's")


def away(error: SQLAlchemyError, *, sqlite: bool = False) -> Finding:
    """Why the database does not answer, without the words of its driver, which name host and user."""
    state = _sqlstate(error) if isinstance(error, DBAPIError) else None
    if state in REFUSED:
        return fail(*REFUSED[state])
    if sqlite:
        return fail("its file cannot be read", "see its permissions, or restore it from a backup")
    return fail("it cannot be reached" if state is None else f"it answers with SQLSTATE {state}", START)


def _sqlstate(error: DBAPIError) -> str | None:
    told: str | None = getattr(error.orig, "sqlstate", None)
    return told or next((code for words, code in WORDS.items() if words in str(error.orig)), None)


def _revision(connection: Connection) -> str | None:
    """What Alembic has noted; None where no migration has run."""
    from alembic.migration import MigrationContext

    revision: str | None = MigrationContext.configure(connection).get_current_revision()
    return revision


def _workers(connection: Connection) -> Finding:
    """Whether a job worker was heard of lately, by the database's own clock."""
    moment: datetime = connection.scalar(select(type_coerce(func.now(), UtcDateTime())))  # type: ignore[assignment]
    newest = connection.scalar(select(func.max(WorkerRow.seen_at)))
    do = "trainings wait: start `clinical-mm worker`, or let `serve` have one (CLINICAL_MM_EMBEDDED_WORKER)"
    if newest is None:
        return warn("none is at work", do)
    silent = moment - newest
    if silent > timedelta(seconds=SILENT_S):
        return warn(f"none was heard of for {silent.total_seconds():.0f} s", do)
    return fine(f"heard of {max(0.0, silent.total_seconds()):.0f} s ago")
