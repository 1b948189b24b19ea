"""Alembic on both databases: up from nothing, down to nothing, and nothing forgotten on the way."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData, inspect, select

from api.cases.tables import CaseRow
from api.ground.database import Base, Database
from api.ground.migrate import current, downgrade, head, upgrade
from api.reviews.service import settle
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


START = datetime(2026, 1, 1, tzinfo=UTC)
A, B = {"pneumonia": 0.9, "covid-19": 0.2}, {"pneumonia": 0.2, "covid-19": 0.3}
FIRST, SECOND = "Dr. One (key_1)", "Dr. Two (key_2)"
OLD_CASES: dict[str, dict[str, Any]] = {
    # label in force; what models "a" and "b" said in turn; reviews as (reviewer, diagnoses), None = unsure
    "case_1": {"label": None, "said": [("a", A)], "reviews": []},
    "case_2": {"label": None, "said": [("a", A), ("b", B)], "reviews": []},
    "case_3": {"label": ["pneumonia"], "said": [("a", A)], "reviews": []},
    "case_4": {"label": ["covid-19"], "said": [("a", A)], "reviews": [(FIRST, ["pneumonia"]), (FIRST, ["covid-19"])]},
    "case_5": {"label": ["covid-19"], "said": [("b", B)], "reviews": [(FIRST, []), (SECOND, ["covid-19"])]},
    "case_6": {"label": None, "said": [], "reviews": [(FIRST, None)]},
    "case_7": {"label": ["tuberculosis"], "said": [("a", A)], "reviews": [(FIRST, ["pneumonia"])]},  # by hand since
    "case_8": {"label": None, "said": [("a", {"pneumonia": 0.5, "covid-19": 0.5})], "reviews": []},
}


def rows_of_0002() -> dict[str, list[dict[str, Any]]]:
    """Rows as the service wrote them before the worklist."""
    rows: dict[str, list[dict[str, Any]]] = {"cases": [], "predictions": [], "reviews": []}
    rows["projects"] = [{"id": "project_1", "name": "old", "created_at": START}]
    model = {"project_id": "project_1", "config": "c", "created_at": START, "snapshot_sha256": "", "weights_sha256": ""}
    rows["models"] = [{"id": name, **model, "metrics": {}, "card": {}} for name in "ab"]
    for case, told in OLD_CASES.items():
        mine = {"project_id": "project_1", "case_id": case}
        by = told["reviews"][-1][0] if told["reviews"] else "Dr. Sender (key_0)"
        label = {"diagnoses": told["label"], "labelled_by": by, "labelled_at": START + timedelta(days=9)}
        rows["cases"].append(
            {"id": case, "project_id": "project_1", "patient_id": "p", "vitals": {}, "synthetic": True, "version": 2,
             "created_at": START, "updated_at": START, **(label if told["label"] is not None else {})}
        )  # fmt: skip
        for n, (name, p) in enumerate(told["said"]):
            result = {"diagnoses": [{"code": code, "probability": q} for code, q in p.items()]}
            rows["predictions"].append(
                {"id": f"{case}_said_{n}", **mine, "case_version": 2, "model_id": name, "created_at": START,
                 "created_by": "x", "result": result}
            )  # fmt: skip
        for n, (reviewer, diagnoses) in enumerate(told["reviews"]):
            verdict = "unsure" if diagnoses is None else "override"
            rows["reviews"].append(
                {"id": f"{case}_review_{n}", **mine, "verdict": verdict, "diagnoses": diagnoses, "reviewer": reviewer,
                 "created_at": START + timedelta(days=n)}
            )  # fmt: skip
    return rows


def stored_rows(database: Database, columns: dict[str, set[str]] | None = None) -> dict[str, list[str]]:
    """Every row of the tables that hold work, or those columns of them, as text."""
    found = MetaData()
    found.reflect(database.engine)
    rows: dict[str, list[str]] = {}
    with database.engine.connect() as connection:
        for name in ("projects", "models", "cases", "predictions", "reviews"):
            chosen = [c for c in found.tables[name].c if columns is None or c.name in columns[name]]
            told = connection.execute(select(*sorted(chosen, key=lambda c: c.name)).order_by(found.tables[name].c.id))
            rows[name] = [json.dumps(dict(row), default=str, sort_keys=True) for row in told.mappings()]
    return rows


@pytest.fixture
def old(empty: Settings) -> Database:
    """A database of the version before, with cases, predictions and reviews in it."""
    upgrade(empty, "0002")
    database = Database(empty.sqlalchemy_url)
    found = MetaData()
    found.reflect(database.engine)
    with database.engine.begin() as connection:
        for name in ("projects", "models", "cases", "predictions", "reviews"):
            for row in rows_of_0002()[name]:
                connection.execute(found.tables[name].insert(), row)
    return database


def test_the_worklist_is_filled_from_what_is_stored_as_the_service_would_have_written_it(
    empty: Settings, old: Database
) -> None:
    upgrade(empty)
    with old.transaction() as session:
        cases = {case.id: case for case in session.scalars(select(CaseRow))}
        keys = {name: (c.review_state, c.uncertainty, c.disagreement, c.contested) for name, c in cases.items()}
        labels = {name: c.diagnoses for name, c in cases.items()}
        for case in cases.values():
            settle(session, case)
        settled = {name: (c.review_state, c.uncertainty, c.disagreement, c.contested) for name, c in cases.items()}
        assert settled == keys
        assert {name: c.diagnoses for name, c in cases.items()} == labels
    assert labels == {name: told["label"] for name, told in OLD_CASES.items()}
    assert keys["case_2"] == (3, pytest.approx(0.881291), pytest.approx(0.7), False)
    assert keys["case_5"] == (1, pytest.approx(0.881291), 1.0, True)
    assert keys["case_6"] == (2, -1.0, -1.0, False)
    assert keys["case_8"] == (3, 1.0, -1.0, False)
    old.dispose()


def test_going_back_keeps_every_row_and_coming_again_gives_the_same(empty: Settings, old: Database) -> None:
    before = stored_rows(old)
    columns = {name: set(json.loads(rows[0])) for name, rows in before.items()}
    upgrade(empty)
    forwards = stored_rows(old)
    assert stored_rows(old, columns) == before
    old.dispose()
    downgrade(empty, "0002")
    assert stored_rows(old) == before
    upgrade(empty)
    assert stored_rows(old) == forwards
    old.dispose()
