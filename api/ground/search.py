"""Where the trials of a search are kept: in the service's PostgreSQL, or in a SQLite file of the run's own.

Optuna makes its tables itself. They get a schema of their own: its bookkeeping of migrations has the name of ours.
"""

from __future__ import annotations

from sqlalchemy import make_url, text

from api.ground.database import Database

SCHEMA = "search"


def make_room_for_trials(database: Database) -> None:
    """Make the schema where there is none."""
    if database.engine.dialect.name == "postgresql":
        with database.transaction() as session:
            session.execute(text("SELECT pg_advisory_xact_lock(727275)"))  # two workers at once: one after another
            session.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))


def trials_url(database: Database) -> str | None:
    """The database as a search is to open it, password included; None = a file of the run's own."""
    if database.engine.dialect.name != "postgresql":
        return None
    url = make_url(database.url)
    options = " ".join([str(url.query.get("options", "")), f"-csearch_path={SCHEMA}"]).strip()
    return url.update_query_dict({"options": options}).render_as_string(hide_password=False)
