"""The chain: it can only grow, stays whole under many writers, and a walk along it finds what was done to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import DBAPIError, OperationalError

from api.access.service import Caller, Role
from api.audit.anchor import Anchors
from api.audit.chain import EVENTS, HEAD, canonical
from api.audit.export import export, verify_file
from api.audit.service import Audit
from api.audit.stored import entries, verify_stored
from api.audit.verify import Verdict
from api.ground.database import Database
from api.ground.secret import trail_key
from api.settings import Settings
from tests.api.conftest import case_json
from torture.audit_tampering import _drop_triggers

WHO = Caller("project_1", "key_1", "Dr. A", Role.CLINICIAN)


class Trail:
    """Ten entries, anchored after the sixth; a tamperer may change them."""

    def __init__(self, services: Any, settings: Settings) -> None:
        self.settings, self.database, self.audit = settings, services.ground.database, services.audit
        self.anchors, self.key = services.anchors, trail_key(settings.workspace)
        self.write(6)
        self.anchors.write()
        self.write(4)

    def write(self, count: int) -> None:
        for n in range(count):
            with self.database.transaction() as session:
                self.audit.record(session, WHO, "case.change", "case", "case_1", n=n)

    def execute(self, *statements: Any) -> None:
        with self.database.engine.begin() as connection:
            for statement in statements:
                connection.execute(statement)

    def tamper(self, *statements: Any) -> Verdict:
        with self.database.engine.begin() as connection:
            _drop_triggers(connection)
        self.execute(*statements)
        return self.verdict()

    def verdict(self) -> Verdict:
        return verify_stored(self.database, self.settings.anchors_file, self.key)


@pytest.fixture
def trail(services: Any, settings: Settings) -> Trail:
    return Trail(services, settings)


def told(verdict: Verdict) -> list[tuple[int | None, str]]:
    return [(fault.entry, fault.kind) for fault in verdict.faults]


def test_a_whole_trail_is_said_to_be_whole(trail: Trail) -> None:
    verdict = trail.verdict()
    assert (verdict.faults, verdict.entries, verdict.last) == ([], 10, 10)
    assert (verdict.anchors, verdict.anchored) == (1, 6)


@pytest.mark.parametrize("act", [update(EVENTS).values(actor="x"), delete(EVENTS)], ids=["update", "delete"])
def test_the_database_itself_refuses_to_change_or_delete_an_entry(trail: Trail, act: Any) -> None:
    with pytest.raises(DBAPIError, match="append-only"):
        trail.execute(act)
    assert trail.verdict().fault_count == 0


def test_an_edit_is_found_where_it_was_made(trail: Trail) -> None:
    verdict = trail.tamper(update(EVENTS).where(EVENTS.c.id == 4).values(actor="Dr. B (key_1)"))
    assert told(verdict) == [(4, "edited")]


def test_missing_entries_are_named(trail: Trail) -> None:
    verdict = trail.tamper(delete(EVENTS).where(EVENTS.c.id.in_([3, 4, 8])))
    assert told(verdict) == [(3, "missing"), (8, "missing")]
    assert verdict.faults[0].detail == "entries 3 to 4 are missing"


def test_swapped_entries_are_told_as_swapped(trail: Trail) -> None:
    swap = [(2, 99), (9, 2), (99, 9)]
    verdict = trail.tamper(*(update(EVENTS).where(EVENTS.c.id == a).values(id=b) for a, b in swap))
    assert {(2, "swapped"), (9, "swapped")} <= set(told(verdict))


def test_a_cut_off_end_is_told_by_the_head_and_by_the_anchor(trail: Trail) -> None:
    assert told(trail.tamper(delete(EVENTS).where(EVENTS.c.id > 4))) == [(5, "truncated"), (6, "truncated")]


def test_an_entry_that_the_chain_does_not_know_is_told(trail: Trail) -> None:
    with trail.database.engine.connect() as connection:
        row = dict(connection.execute(select(EVENTS).where(EVENTS.c.id == 10)).mappings().one())
    assert (11, "inserted") in told(trail.tamper(insert(EVENTS).values({**row, "id": 11})))


def test_an_old_head_rightly_signed_does_not_hide_what_was_anchored(trail: Trail) -> None:
    with trail.database.engine.connect() as connection:
        row = dict(connection.execute(select(EVENTS).where(EVENTS.c.id == 3)).mappings().one())
    from api.audit.chain import head_told, sign

    old = head_told(3, row["hash"], 0)  # as it was then: whoever copied it has it
    verdict = trail.tamper(
        delete(EVENTS).where(EVENTS.c.id > 3), update(HEAD).values(**old, signature=sign(trail.key, old))
    )
    assert told(verdict) == [(6, "truncated")]


def test_a_head_that_is_gone_is_told(trail: Trail) -> None:
    assert told(trail.tamper(delete(HEAD))) == [(None, "head")]


def test_an_entry_that_cannot_be_read_is_told_and_the_walk_goes_on(trail: Trail) -> None:
    if trail.database.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL stores no text in a column of times")
    broken = "UPDATE audit_events SET at = 'yesterday', detail = '{' WHERE id = 5"
    with trail.database.engine.begin() as connection:
        _drop_triggers(connection)
        connection.exec_driver_sql(broken)
    verdict = trail.verdict()
    assert (told(verdict), verdict.entries) == ([(5, "edited")], 10)


def test_anchors_that_were_forged_or_cut_are_told(trail: Trail) -> None:
    trail.anchors.write()
    trail.write(1)
    trail.anchors.write()
    lines = trail.settings.anchors_file.read_text().splitlines(keepends=True)
    assert [json.loads(line)["sequence"] for line in lines] == [6, 10, 11]
    trail.settings.anchors_file.write_text("".join(lines[:1]))
    assert told(trail.verdict()) == [(10, "anchor")]
    trail.settings.anchors_file.write_text("".join([lines[0].replace('"sequence":6', '"sequence":5'), *lines[1:]]))
    assert told(trail.verdict()) == [(5, "anchor")]
    trail.settings.anchors_file.write_text("".join([lines[0], lines[2]]))
    assert told(trail.verdict()) == [(11, "anchor"), (10, "anchor")]


def test_a_line_that_a_crash_tore_breaks_nothing(trail: Trail) -> None:
    with trail.settings.anchors_file.open("a") as file:
        file.write('{"at":"2026-')
    trail.anchors.write()
    verdict = trail.verdict()
    assert (verdict.faults, verdict.anchored) == ([], 10)


def test_an_anchor_is_written_only_where_the_trail_grew(trail: Trail) -> None:
    assert [trail.anchors.write() for _ in range(3)] == [10, 10, 10]
    assert len(trail.settings.anchors_file.read_text().splitlines()) == 2


def test_many_threads_and_another_process_make_one_chain(trail: Trail) -> None:
    other = Database(trail.settings.sqlalchemy_url)  # connections of its own, as another process has
    audits = [(trail.database, trail.audit), (other, Audit(other, trail.key, trail.settings.trail_folder))]

    def write(n: int) -> None:
        database, audit = audits[n % 2]
        try:
            with database.transaction(hurried=n % 3 > 0) as session:
                audit.record(session, WHO, "case.change", "case", "case_1", n=n)
        except OperationalError:  # a hurried one did not wait
            write(n)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(60)))
    other.dispose()
    verdict = trail.verdict()
    assert (verdict.faults, verdict.entries) == ([], 70)


def test_acts_that_wait_for_each_other_do_not_wait_for_ever(client: httpx.Client, services: Any, trail: Trail) -> None:
    cases = [client.post("/cases", json=case_json(external_id=f"acc-{n}")).json()["id"] for n in range(2)]

    def change(n: int) -> int:
        return client.patch(f"/cases/{cases[n % 2]}", json={"note": f"note {n}"}).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(change, range(32))) == {200}
    assert trail.verdict().fault_count == 0


def test_the_canonical_form_is_that_of_rfc_8785() -> None:
    value = {"b": [1, True, None], "a": 'é"\\\n\x1f€\x7f', "": {}}
    assert canonical(value) == '{"":{},"a":"é\\"\\\\\\n\\u001f€\x7f","b":[1,true,null]}'.encode()


@pytest.fixture
def exported(trail: Trail, tmp_path: Path) -> Path:
    file = tmp_path / "trail.jsonl"
    assert export(entries(trail.database), file, trail.key) == 10
    return file


def test_an_export_is_verified_by_itself(exported: Path, trail: Trail) -> None:
    assert [verify_file(exported, key).fault_count for key in (trail.key, None)] == [0, 0]
    assert told(verify_file(exported, b"another installation's")) == [(None, "head")]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda lines: [*lines[:3], lines[3].replace("Dr. A", "Dr. B"), *lines[4:]], (4, "edited")),
        (lambda lines: [*lines[:3], *lines[4:]], (4, "missing")),
        (lambda lines: [*lines[:3], lines[3].replace('"n":3', '"n":3,"m":1'), *lines[4:]], (4, "edited")),
        (lambda lines: [*lines[:3], "nonsense\n", *lines[4:]], (None, "edited")),
        (lambda lines: lines[:5], (6, "truncated")),
        (lambda lines: [*lines[:8], lines[10]], (9, "truncated")),
        (lambda lines: [*lines, lines[0]], (None, "inserted")),
    ],
    ids=["edit", "removal", "another field", "no JSON", "end cut off", "last entries cut off", "after the end"],
)
def test_what_was_done_to_an_export_is_found(
    exported: Path, change: Callable[[list[str]], list[str]], fault: tuple[int | None, str]
) -> None:
    exported.write_text("".join(change(exported.read_text().splitlines(keepends=True))))
    assert fault in told(verify_file(exported, None))


def test_anchors_may_lie_elsewhere(services: Any, trail: Trail, tmp_path: Path) -> None:
    settings = trail.settings.model_copy(update={"audit_anchor": tmp_path / "worm" / "anchors.jsonl"})
    anchors = Anchors(trail.database, settings.anchors_file, settings.trail_folder / "anchors.lock", trail.key)
    assert anchors.write() == 10
    assert (tmp_path / "worm" / "anchors.jsonl").exists()
