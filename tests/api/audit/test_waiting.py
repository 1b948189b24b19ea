"""A reader does not wait until its entry is stored, and none is lost or doubled on the way, whoever dies."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from api.audit.chain import EVENTS, HEAD, append
from api.audit.stored import verify_stored
from api.audit.waiting import MARK, Waiting
from api.ground.database import DatabaseAway
from api.ground.secret import trail_key
from api.settings import Settings
from tests.api.conftest import ON_POSTGRESQL, case_json, until_it_waits


@pytest.fixture
def case(client: httpx.Client) -> str:
    return str(client.post("/cases", json=case_json()).raise_for_status().json()["id"])


def reads(services: Any, settings: Settings) -> list[str]:
    """The request ids of the reads that the chain tells of; the chain is whole."""
    database = services.ground.database
    assert verify_stored(database, settings.anchors_file, trail_key(settings.workspace)).faults == []
    with database.engine.connect() as connection:
        query = select(EVENTS.c.request_id).where(EVENTS.c.action == "case.read").order_by(EVENTS.c.id)
        return list(connection.scalars(query))


def read_while_another_writes(client: httpx.Client, services: Any, case: str, *names: str) -> None:
    with services.ground.database.transaction() as session:
        session.connection().execute(select(HEAD).with_for_update())
        for name in names:
            started = time.monotonic()
            answer = client.get(f"/cases/{case}", headers={"X-Request-Id": name})
            assert (answer.status_code, time.monotonic() - started < 5) == (200, True)


def test_entries_that_waited_are_chained_with_the_next_and_say_since_when(
    client: httpx.Client, services: Any, settings: Settings, case: str
) -> None:
    read_while_another_writes(client, services, case, "req-1", "req-2")
    assert reads(services, settings) == []
    client.get(f"/cases/{case}", headers={"X-Request-Id": "req-3"})
    assert reads(services, settings) == ["req-1", "req-2", "req-3"]
    items = client.get("/audit", params={"action": "case.read"}).json()["items"]
    assert ["waited_since" in item["detail"] for item in items] == [False, True, True]


def test_what_a_dead_process_left_is_taken_up_once(
    client: httpx.Client, services: Any, settings: Settings, case: str
) -> None:
    read_while_another_writes(client, services, case, "req-1", "req-2")
    [file] = settings.trail_folder.glob("*.waiting")
    left = file.with_name("process_of_the_dead.waiting")
    left.write_bytes(file.read_bytes())  # as if it had died before it could say that they are chained
    services.audit.take_up()
    assert reads(services, settings) == ["req-1", "req-2"]
    assert not left.exists()
    left.write_bytes(b"")  # died before anything waited
    services.audit.take_up()
    assert not left.exists()


def test_what_a_process_left_that_never_came_to_chain_it_is_chained_by_another(
    client: httpx.Client, services: Any, settings: Settings, case: str
) -> None:
    dead = Waiting(settings.trail_folder)
    read_while_another_writes(client, services, case, "req-1")
    [entry] = services.audit._waiting.take()
    services.audit._waiting.forget([entry])
    dead.put({**entry, "detail": {"n": 1}})
    services.audit.take_up()
    assert reads(services, settings) == [], "its process lives"
    dead._folder = settings.trail_folder / "elsewhere"
    dead.close()
    assert reads(services, settings) == []
    services.audit.take_up()
    assert reads(services, settings) == ["req-1"]


@ON_POSTGRESQL
def test_what_a_killed_process_was_chaining_is_not_chained_again(
    client: httpx.Client, services: Any, settings: Settings, case: str
) -> None:
    database = services.ground.database
    read_while_another_writes(client, services, case, "req-1")
    [file] = settings.trail_folder.glob("*.waiting")
    left = file.with_name("process_of_the_dead.waiting")
    left.write_bytes(file.read_bytes())
    waited = services.audit._waiting.take()
    services.audit._waiting.forget(waited)
    with ThreadPoolExecutor(1) as pool, database.engine.connect() as looking:
        with database.transaction() as session:
            append(session, services.audit._key, waited)
            taking = pool.submit(services.audit.take_up)
            until_it_waits(taking, looking)
        taking.result()
    assert reads(services, settings) == ["req-1"]


def test_a_transaction_that_fails_gives_back_what_waited(
    client: httpx.Client, services: Any, settings: Settings, case: str
) -> None:
    read_while_another_writes(client, services, case, "req-1")

    def fail(session: Any) -> None:
        failures.append("failed")
        raise OperationalError("commit", {}, RuntimeError("no"))

    failures: list[str] = []
    once = lambda session: None if failures else fail(session)  # noqa: E731
    services.ground.database.at_commit(once, lambda _: None, lambda _: None)
    client.get(f"/cases/{case}", headers={"X-Request-Id": "req-2"})  # its entry waits as well
    assert (failures, reads(services, settings)) == (["failed"], [])
    client.get(f"/cases/{case}", headers={"X-Request-Id": "req-3"})
    assert reads(services, settings) == ["req-1", "req-2", "req-3"]


def test_many_readers_beside_a_slow_writer_have_an_entry_each(
    client: httpx.Client, services: Any, settings: Settings, case: str
) -> None:
    def read(n: int) -> int:
        if n == 3:
            with services.ground.database.transaction() as session:
                session.connection().execute(select(HEAD).with_for_update())
                time.sleep(1)
        return client.get(f"/cases/{case}", headers={"X-Request-Id": f"req-{n}"}).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(read, range(40))) == {200}
    services.audit.take_up()
    assert sorted(reads(services, settings)) == sorted(f"req-{n}" for n in range(40))


def test_a_full_room_is_told_and_room_is_made_again(settings: Settings) -> None:
    waiting = Waiting(settings.trail_folder)
    entry = {"action": "case.read", "detail": {"text": "x" * 100_000}}
    for _ in range(10):
        waiting.put(entry)
    with pytest.raises(DatabaseAway, match="no room"):
        waiting.put(entry)
    *taken, overflow = waiting.take()
    assert len({one["detail"][MARK] for one in taken}) == 10
    assert (overflow["action"], overflow["detail"]) == ("trail.overflow", {"calls": 1})
    waiting.forget([*taken, overflow])
    waiting.put(entry)
    waiting.close()


def test_calls_beyond_the_room_are_refused_and_the_chain_says_how_many(
    client: httpx.Client, services: Any, settings: Settings, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.audit.waiting.RESERVED", 2_000)
    with services.ground.database.transaction() as session:
        session.connection().execute(select(HEAD).with_for_update())
        answers = [client.get(f"/cases/{case}", headers={"X-Request-Id": f"req-{n}"}) for n in range(8)]
    let_in = [answer.status_code for answer in answers].count(200)
    assert [answer.status_code for answer in answers] == [200] * let_in + [503] * (8 - let_in)
    assert 1 <= let_in <= 6
    assert answers[-1].headers["Retry-After"]
    client.get(f"/cases/{case}", headers={"X-Request-Id": "req-8"})
    assert reads(services, settings) == [f"req-{n}" for n in (*range(let_in), 8)]
    with services.ground.database.engine.connect() as connection:
        told = connection.execute(select(EVENTS.c.detail).where(EVENTS.c.action == "trail.overflow"))
        assert [row.detail for row in told] == [{"calls": 8 - let_in}]
