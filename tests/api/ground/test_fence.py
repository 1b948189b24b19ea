"""One place below the routes: a session of one project sees, changes and writes its own rows alone, whoever forgets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Column, MetaData, String, Table, delete, func, insert, select, text, update
from sqlalchemy.orm import aliased

import api.services  # noqa: F401 - every table is declared
from api.access.tables import ProjectRow
from api.cases.tables import CaseFileRow, CaseRow
from api.ground.clock import now
from api.ground.database import Base
from api.ground.fence import AnotherProject, fence, fenced_tables
from api.ground.scope import Nowhere, OutsideAnyProject, enter, leave, within
from tests.api.conftest import case_json, png

SHARED = {"blob_uses", "staged_files", "people", "workers", "audit_head", "backups", "erased_contents"}
"""Tables of no project: which case, or import, uses which bytes (the same may lie in several), whom the provider knows,
who works, the end of the one trail, backups of everything, what every cache is to forget."""


@pytest.fixture
def rows(client_as: Any, services: Any) -> dict[str, Any]:
    """A case with a file in each of two projects: their ids, and the projects'."""
    files = {"files": ("a.png", png(), "image/png")}
    ours, theirs = (
        client_as(who).post("/cases", data={"case": _json()}, files=files).raise_for_status().json()["id"]
        for who in ("clinician", "stranger")
    )
    projects = [services.access.operator(name).project_id for name in ("default", "another hospital")]
    return {"ours": ours, "theirs": theirs, "us": projects[0], "them": projects[1]}


@pytest.fixture
def session(services: Any, rows: dict[str, Any]) -> Iterator[Any]:
    """A session of our project, without any filter of a service."""
    with within(rows["us"]), services.ground.database.transaction() as opened:
        yield opened
        opened.rollback()


def _json() -> str:
    return json.dumps(case_json())


def test_every_table_is_fenced_or_named_here() -> None:
    assert {table.name for table in Base.metadata.sorted_tables} == fenced_tables() | SHARED


def test_a_table_with_a_project_that_is_not_fenced_cannot_be_declared() -> None:
    columns = (Column("id", String, primary_key=True), Column("project_id", String))
    forgotten = type("Forgotten", (), {"__table__": Table("forgotten", MetaData(), *columns)})
    with pytest.raises(TypeError, match="OfProject"):
        fence(forgotten)


def test_queries_find_our_rows_alone(session: Any, rows: dict[str, Any]) -> None:
    other = aliased(CaseRow)
    assert list(session.scalars(select(CaseRow.id))) == [rows["ours"]]
    assert session.scalar(select(func.count()).select_from(CaseRow)) == 1
    assert session.query(CaseRow).filter_by(id=rows["theirs"]).all() == []
    assert list(session.execute(select(CaseRow.id, other.id).join(other, other.id != CaseRow.id))) == []
    assert list(session.scalars(select(CaseFileRow.case_id))) == [rows["ours"]]
    assert list(session.scalars(select(ProjectRow.name))) == ["default"]
    within_another = select(ProjectRow.id).where(select(CaseRow.id).where(CaseRow.id == rows["theirs"]).exists())
    assert list(session.scalars(within_another)) == []


def test_a_row_named_by_its_key_is_found_where_it_is_ours(session: Any, rows: dict[str, Any]) -> None:
    assert session.get(CaseRow, rows["ours"]).files[0].position == 0
    assert session.get(CaseRow, rows["theirs"]) is None
    assert session.get(CaseFileRow, (rows["theirs"], 0)) is None
    assert session.get(ProjectRow, rows["them"]) is None


def test_updates_and_deletes_reach_our_rows_alone(session: Any, rows: dict[str, Any]) -> None:
    assert session.execute(update(CaseRow).values(note="changed")).rowcount == 1
    assert session.execute(delete(CaseFileRow).where(CaseFileRow.case_id == rows["theirs"])).rowcount == 0
    assert session.query(CaseRow).filter_by(id=rows["theirs"]).delete() == 0


@pytest.mark.parametrize("statement", ["select", "update", "delete", "insert", "text", "bulk insert", "move"])
def test_what_cannot_be_narrowed_is_refused(session: Any, rows: dict[str, Any], statement: str) -> None:
    table = CaseRow.__table__
    refused = {
        "select": select(table.c.id),
        "update": table.update().values(note="x"),
        "delete": table.delete(),
        "insert": table.insert().values(id="x"),
        "text": text("SELECT id FROM cases"),
        "bulk insert": insert(ProjectRow).values(id="x", name="x", created_at=now(), read_first=False),
        "move": update(CaseRow).values(project_id=rows["them"]),
    }[statement]
    with pytest.raises(AnotherProject):
        session.execute(refused)


def test_a_row_of_another_project_is_not_written(services: Any, rows: dict[str, Any]) -> None:
    def moved(session: Any) -> None:
        session.get(CaseRow, rows["ours"]).project_id = rows["them"]

    def added(session: Any) -> None:
        row = session.get(CaseRow, rows["ours"])
        copied = {c.key: getattr(row, c.key) for c in CaseRow.__table__.columns}
        session.add(CaseRow(**{**copied, "id": "case_x", "external_id": "x", "project_id": rows["them"]}))

    for change in (moved, added):
        with pytest.raises(AnotherProject), within(rows["us"]), services.ground.database.transaction() as session:
            change(session)
    with services.ground.database.reading() as session:
        found = dict(session.execute(select(CaseRow.id, CaseRow.project_id)).all())
    assert found == {rows["ours"]: rows["us"], rows["theirs"]: rows["them"]}


def test_a_row_read_elsewhere_is_not_erased_in_our_name(services: Any, rows: dict[str, Any]) -> None:
    with services.ground.database.reading() as session:
        theirs = session.get(CaseRow, rows["theirs"])
    with pytest.raises(AnotherProject), within(rows["us"]), services.ground.database.transaction() as session:
        session.delete(theirs)


def test_without_a_project_no_session_is_opened(services: Any) -> None:
    before = enter(Nowhere())
    try:
        with pytest.raises(OutsideAnyProject), services.ground.database.reading():
            pass  # pragma: no cover
    finally:
        leave(before)


def test_a_route_that_forgets_the_project_still_shows_its_callers_alone(
    services: Any, keys: dict[str, str], rows: dict[str, Any]
) -> None:
    import httpx

    from api.access.guard import needs
    from api.access.service import Role
    from api.app import create_app
    from tests.api.conftest import listening

    app = create_app(services=services)

    @app.get("/v1/forgetful")
    @needs(Role.VIEWER)
    def forgetful() -> list[str]:
        with services.ground.database.reading() as session:
            return list(session.scalars(select(CaseRow.id)))

    @app.get("/v1/slow")
    @needs(Role.VIEWER)
    def streaming() -> Any:
        def lines() -> Iterator[str]:  # sent after the view has returned
            with services.ground.database.reading() as session:
                yield from session.scalars(select(CaseRow.id))

        return lines()

    with listening(app) as url:
        slow = httpx.get(f"{url}/v1/slow", headers={"Authorization": f"Bearer {keys['viewer']}"})
        assert slow.text == rows["ours"]
        for who, seen in (("viewer", rows["ours"]), ("stranger", rows["theirs"])):
            answer = httpx.get(f"{url}/v1/forgetful", headers={"Authorization": f"Bearer {keys[who]}"})
            assert answer.json() == [seen]
