"""Every migration back and forth with rows in every table: each step keeps what the other side has a place for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import JSON, Boolean, Column, DateTime, Float, Integer, MetaData, String, Table, delete, insert, select

import api.services  # noqa: F401 - all tables are known then
from api.ground.database import Base, Database, UtcDateTime
from api.ground.migrate import current, downgrade, head, migrations_folder, upgrade
from api.settings import Settings
from tests.api.conftest import BareSettings

ROWS = 3
SAID = {"diagnoses": [{"code": "pneumonia", "probability": 0.7}, {"code": "covid-19", "probability": 0.2}]}
LISTS = {"diagnoses", "given_diagnoses", "image_blobs", "blobs_left", "label_from"}
WORDS = {"verdict": "override", "state": "succeeded", "kind": "first", "role": "viewer", "outcome": "hold", "sex": "F"}
TABLES = Base.metadata.tables
LIKE = {"idempotency_keys.object_id": TABLES["cases"].c.id, "audit_events.project_id": TABLES["projects"].c.id}
"""What an older version refers to: it knows keys of cases alone, and entries of projects that are there."""


@pytest.fixture
def empty(empty_database_url: str, tmp_path: Path) -> Settings:
    return BareSettings(workspace=tmp_path / "workspace", database_url=empty_database_url)


def value_of(column: Column[Any], n: int) -> Any:
    """A value that fits: deterministic, so that a reference finds what it refers to."""
    for reference in column.foreign_keys:
        return value_of(reference.column, n)
    if str(column) in LIKE:
        return value_of(LIKE[str(column)], n)
    kinds: list[tuple[Any, Any]] = [
        (Boolean, bool(n % 2)),
        (Integer, n),
        (Float, n / 4),
        ((DateTime, UtcDateTime), datetime(2026, 1, n, 10, tzinfo=UTC) + timedelta(microseconds=123456)),
        (JSON, ["pneumonia"] if column.name in LISTS else SAID),
    ]
    for kind, value in kinds:
        if isinstance(column.type, kind):
            return value
    assert isinstance(column.type, String), column
    return WORDS.get(column.name, f"{n}{column.name}-{column.table.name}")[: column.type.length or 60]


def fill(settings: Settings) -> None:
    database = Database(settings.sqlalchemy_url)
    with database.engine.begin() as connection:
        for table in Base.metadata.sorted_tables:
            rows = [{column.name: value_of(column, n) for column in table.columns} for n in range(1, ROWS + 1)]
            if table.name == "audit_head":  # there from the beginning
                connection.execute(delete(table))
            connection.execute(insert(table), rows)
    database.dispose()


Rows = dict[str, list[dict[str, Any]]]


def stored(settings: Settings) -> Rows:
    """Every row of every table, whatever tables there are at this revision."""
    database, found = Database(settings.sqlalchemy_url), MetaData()
    found.reflect(database.engine)
    with database.engine.connect() as connection:
        rows = {name: rows_of(connection, table) for name, table in found.tables.items() if name != "alembic_version"}
    database.dispose()
    return rows


def rows_of(connection: Any, table: Table) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(select(table).order_by(*table.primary_key)).mappings()]


def common(before: Rows, after: Rows) -> tuple[Rows, Rows]:
    """Both sides, cut to the tables and columns that both have."""
    shared = {
        name: set(before[name][0]) & set(after[name][0])
        for name in before.keys() & after.keys()
        if before[name] and after[name]
    }

    def cut(rows: Rows) -> Rows:
        return {name: [{c: row[c] for c in columns} for row in rows[name]] for name, columns in shared.items()}

    return cut(before), cut(after)


def revisions_down() -> Iterator[str]:
    for script in ScriptDirectory(str(migrations_folder())).walk_revisions():
        yield script.revision


def test_each_step_back_and_forth_keeps_what_both_versions_know(empty: Settings) -> None:
    upgrade(empty)
    fill(empty)
    states = {head(): stored(empty)}
    assert all(len(rows) == ROWS for rows in states[head()].values())
    newest, *older = revisions_down()
    for revision in older:
        downgrade(empty, revision)
        assert current(empty) == revision
        states[revision] = stored(empty)
        kept, now = common(states[newest], states[revision])
        assert now == kept, f"going back from {newest} to {revision}"
        counts = {name: len(rows) for name, rows in states[revision].items()}
        assert counts == dict.fromkeys(counts, ROWS), f"after {revision}"
        newest = revision
    for revision in [*reversed(older), head()][1:]:
        before = stored(empty)
        upgrade(empty, revision)
        kept, now = common(before, stored(empty))
        assert now == kept, f"coming up to {revision}"
    again = stored(empty)
    first = older[-1]
    assert {name: len(again[name]) for name in states[first]} == dict.fromkeys(states[first], ROWS)
    downgrade(empty, "base")
    assert stored(empty) == {}
