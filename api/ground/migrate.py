"""Alembic: the database's tables, brought forwards and back."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from api.ground.database import Database
from api.ground.secret import trail_key
from api.settings import Settings


def upgrade(settings: Settings, revision: str = "head") -> None:
    """Bring the database to a revision."""
    from alembic import command

    _run(settings, lambda config: command.upgrade(config, revision))


def downgrade(settings: Settings, revision: str) -> None:
    """Take the database back to a revision."""
    from alembic import command

    _run(settings, lambda config: command.downgrade(config, revision))


def current(settings: Settings) -> str | None:
    """The revision the database is at; None where no migration has run."""
    from alembic.migration import MigrationContext

    url = make_url(settings.sqlalchemy_url)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return None  # looking must not make the file
    database = Database(settings.sqlalchemy_url)
    try:
        with database.engine.connect() as connection:
            revision: str | None = MigrationContext.configure(connection).get_current_revision()
            return revision
    finally:
        database.dispose()


def head() -> str:
    """The newest revision of this version."""
    return revisions()[0]


@cache
def revisions() -> tuple[str, ...]:
    """Every revision that this version knows, the newest first."""
    from alembic.script import ScriptDirectory

    return tuple(script.revision for script in ScriptDirectory(str(migrations_folder())).walk_revisions())


def migrations_folder() -> Path:
    """Where the migrations lie: inside the wheel, or beside the sources."""
    installed = Path(__file__).parents[1] / "migrations"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "migrations"


def _run(settings: Settings, act: Any) -> None:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    database = Database(settings.sqlalchemy_url)
    try:
        with database.engine.begin() as connection:
            _one_at_a_time(connection)
            config.attributes["connection"] = connection
            config.attributes["trail_key"] = trail_key(settings.workspace)
            act(config)
    finally:
        database.dispose()


def _one_at_a_time(connection: Any) -> None:
    """Several servers that start together migrate in turn; SQLite's immediate transaction does so by itself."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(727274)")
