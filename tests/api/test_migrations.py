"""Alembic on both databases: up from nothing, down to nothing, and nothing forgotten on the way."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from api.ground.database import Base, Database
from api.ground.migrate import current, downgrade, head, upgrade
from api.settings import Settings
from tests.api.conftest import BareSettings


@pytest.fixture
def empty(empty_database_url: str, tmp_path: Path) -> Settings:
    return BareSettings(workspace=tmp_path / "workspace", database_url=empty_database_url)


def tables(settings: Settings) -> set[str]:
    database = Database(settings.sqlalchemy_url)
    try:
        return set(inspect(database.engine).get_table_names()) - {"alembic_version"}
    finally:
        database.dispose()


def test_a_fresh_database_is_at_no_revision(empty: Settings) -> None:
    assert current(empty) is None


def test_upgrading_makes_every_table_and_again_changes_nothing(empty: Settings) -> None:
    upgrade(empty)
    upgrade(empty)
    assert current(empty) == head()
    assert tables(empty) == set(Base.metadata.tables)


def test_downgrading_leaves_nothing_and_upgrading_works_again(empty: Settings) -> None:
    upgrade(empty)
    downgrade(empty, "base")
    assert tables(empty) == set()
    upgrade(empty)
    assert tables(empty) == set(Base.metadata.tables)


def test_the_migrations_make_exactly_the_tables_that_the_code_uses(empty: Settings) -> None:
    upgrade(empty)
    database = Database(empty.sqlalchemy_url)
    try:
        with database.engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, Base.metadata) == []
    finally:
        database.dispose()
