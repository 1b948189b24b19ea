"""``clinical-mm db``: Alembic migrations."""

from __future__ import annotations

import click

from api.settings import settings_from_environment


@click.group()
def db() -> None:
    """The database.

    \b
    Example:
      clinical-mm db upgrade
    """


@db.command()
def upgrade() -> None:
    """Bring the database to this version's tables (serve does it by itself).

    \b
    Example:
      clinical-mm backup /backups && clinical-mm db upgrade
    """
    from api.ground.migrate import current
    from api.ground.migrate import upgrade as migrate

    migrate(settings_from_environment())
    click.echo(f"database at revision {current(settings_from_environment())}")


@db.command()
def current() -> None:
    """The revision the database is at.

    \b
    Example:
      clinical-mm db current
    """
    from api.ground.migrate import current as revision

    click.echo(revision(settings_from_environment()) or "empty: no migration has run; run `clinical-mm db upgrade`")
