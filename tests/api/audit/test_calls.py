"""Every call leaves exactly one entry, whatever came of it; what failed leaves no act behind."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from werkzeug.routing import Rule

from api.app import create_app
from api.audit.chain import EVENTS, HEAD
from api.audit.gate import is_told
from api.audit.names import NAMES
from api.audit.waiting import Waiting
from api.cases.tables import CaseRow
from tests.api.conftest import case_json, listening, png

Clients = Callable[[str], httpx.Client]
NO_CASE = "case_00000000000000000000"


@pytest.fixture
def entries(services: Any) -> Callable[[str], list[dict[str, Any]]]:
    """The entries of one request."""

    def of(request_id: str) -> list[dict[str, Any]]:
        with services.ground.database.reading() as session:
            found = session.connection().execute(select(EVENTS).where(EVENTS.c.request_id == request_id))
            return [dict(row) for row in found.mappings()]

    return of


def calls(app: Any) -> Iterator[tuple[str, str, bool]]:
    """Method and path of every route, its parts filled in with what names nothing; and whether it is told."""
    for rule in app.url_map.iter_rules():
        for method in sorted(rule.methods - {"OPTIONS"}):
            yield method, filled(rule), is_told(rule.endpoint)


def filled(rule: Rule) -> str:
    return re.sub(r"<(?:(\w+):)?(\w+)>", lambda m: "0" if m[1] == "int" or m[2] == "n" else NO_CASE, rule.rule)


def test_every_route_leaves_one_entry_and_what_shows_nothing_of_anyone_leaves_none(
    services: Any, keys: dict[str, str], entries: Callable[[str], list[dict[str, Any]]]
) -> None:
    app = create_app(services=services)
    wrong = {}
    with listening(app) as url, httpx.Client(base_url=url, headers={"Authorization": f"Bearer {keys['admin']}"}) as web:
        for n, (method, path, told) in enumerate(calls(app)):
            answer = web.request(method, path, headers={"X-Request-Id": f"req-{n}"})
            found = entries(f"req-{n}")
            if len(found) != int(told):
                wrong[method, path, answer.status_code] = found
    assert wrong == {}


def test_every_name_in_the_trails_table_is_of_a_route(services: Any) -> None:
    app = create_app(services=services)
    with_a_provider = {"pages.sign_in_provider", "pages.sign_in_callback"}
    assert NAMES.keys() - app.view_functions.keys() - with_a_provider == set()
    assert {endpoint for endpoint in app.view_functions if is_told(endpoint)} - NAMES.keys() == set()


def test_a_route_that_nobody_has_named_is_told_all_the_same(
    services: Any, keys: dict[str, str], entries: Callable[[str], list[dict[str, Any]]]
) -> None:
    from api.access.guard import needs
    from api.access.service import Role

    app = create_app(services=services)
    app.add_url_rule("/v1/new/<id>", view_func=needs(Role.VIEWER)(lambda id: id), endpoint="new.read")  # noqa: A006
    with listening(app) as url:
        headers = {"Authorization": f"Bearer {keys['viewer']}", "X-Request-Id": "req-4"}
        httpx.get(f"{url}/v1/new/{NO_CASE}", headers=headers).raise_for_status()
    [entry] = entries("req-4")
    assert (entry["action"], entry["object_id"], entry["result"]) == ("new.read", NO_CASE, "answered")


@pytest.mark.parametrize(
    ("role", "method", "path", "body", "told"),
    [
        ("viewer", "GET", "/cases/{case}", None, ("case.read", "answered")),
        ("viewer", "GET", "/cases/{case}/files/0/preview.png", None, ("case.preview", "answered")),
        ("viewer", "GET", "/cases/{case}/files/9", None, ("case.file", "404")),
        ("viewer", "PATCH", "/cases/{case}", {"note": "x"}, ("case.change", "403")),
        ("clinician", "PATCH", "/cases/{case}", {"note": 7}, ("case.change", "422")),
        ("clinician", "PATCH", "/cases/{case}", {"note": "x"}, ("case.change", "changed")),
        ("stranger", "GET", "/cases/{case}", None, ("case.read", "404")),
        ("nobody", "GET", "/cases/{case}", None, ("case.read", "401")),
        ("admin", "DELETE", "/cases/{case}", None, ("case.erase", "changed")),
    ],
)
def test_the_entry_says_who_asked_for_what_from_where_and_what_came_of_it(
    client_as: Clients, entries: Any, role: str, method: str, path: str, body: Any, told: tuple[str, str]
) -> None:
    files = {"case": (None, case_text()), "files": ("a.png", png())}
    case = client_as("clinician").post("/cases", files=files).raise_for_status().json()["id"]
    client_as(role).request(method, path.format(case=case), json=body, headers={"X-Request-Id": "req-1"})
    [entry] = entries("req-1")
    assert (entry["action"], entry["result"]) == told
    assert (entry["object_type"], entry["object_id"], entry["source"]) == ("case", case, "127.0.0.1")
    assert entry["route"].startswith(f"{method} /v1/cases/<id>")
    assert entry["actor"].startswith(
        "not signed in" if role == "nobody" else "stranger" if role == "stranger" else "test"
    )
    assert (entry["project_id"] is None) == (role == "nobody")


def test_a_read_names_the_version_that_was_read(client: httpx.Client, entries: Any) -> None:
    case = client.post("/cases", json=case_json()).json()["id"]
    client.patch(f"/cases/{case}", json={"note": "x"})
    client.get(f"/cases/{case}", headers={"X-Request-Id": "req-1"})
    client.get(f"/cases/{case}", headers={"X-Request-Id": "req-2", "If-Match": '"1"'})
    assert entries("req-1")[0]["detail"]["version"] == "2"


def test_a_list_names_the_cases_that_it_showed(client: httpx.Client, entries: Any) -> None:
    cases = [client.post("/cases", json=case_json(external_id=f"acc-{n}")).json()["id"] for n in range(3)]
    client.get("/cases", params={"limit": 2}, headers={"X-Request-Id": "req-1"})
    [entry] = entries("req-1")
    assert entry["detail"]["cases"] == [cases[2], cases[1]]


def test_a_search_is_a_read_that_names_the_cases_it_showed_and_no_word_of_it(
    client: httpx.Client, entries: Any
) -> None:
    cases = [client.post("/cases", json=case_json(external_id=f"acc-{n}")).json()["id"] for n in range(2)]
    for n, path in enumerate(("/cases/search", "/cases/counts")):
        client.post(path, json={"q": "acc-1"}, headers={"X-Request-Id": f"req-{n}"}).raise_for_status()
    [search], [count] = entries("req-0"), entries("req-1")
    assert (search["action"], search["result"], search["detail"]["cases"]) == ("case.list", "answered", [cases[1]])
    assert (count["action"], count["result"], count["object_id"]) == ("case.count", "answered", "")
    assert "acc-1" not in str([search, count])


def test_what_was_so_already_is_told_as_unchanged(client: httpx.Client, entries: Any) -> None:
    for n in range(2):
        headers = {"Idempotency-Key": "k", "X-Request-Id": f"req-{n}"}
        client.post("/cases", json=case_json(), headers=headers).raise_for_status()
    assert [entries(f"req-{n}")[0]["result"] for n in range(2)] == ["changed", "unchanged"]


def test_a_key_that_is_not_let_in_is_named_by_its_id_alone(client_as: Clients, keys: Any, entries: Any) -> None:
    wrong = keys["viewer"][:-4] + "0000"
    client_as("nobody").get("/cases", headers={"Authorization": f"Bearer {wrong}", "X-Request-Id": "req-1"})
    [entry] = entries("req-1")
    assert entry["detail"]["key"] == f"key_{wrong.split('_')[1]}"
    assert wrong not in str(entry)


def test_signing_in_and_out_names_who_did(server_url: str, keys: dict[str, str], entries: Any) -> None:
    with httpx.Client(base_url=server_url, follow_redirects=False) as web:
        form = web.get("/sign-in").text
        token = {"csrf_token": re.search(r'name="csrf_token" value="(\w+)"', form)[1]}  # type: ignore[index]
        web.post("/sign-in", data={**token, "key": keys["viewer"]}, headers={"X-Request-Id": "req-a"})
        page = web.get("/", headers={"X-Request-Id": "req-b"})
        token = {"csrf_token": re.search(r'name="csrf_token" value="(\w+)"', page.text)[1]}  # type: ignore[index]
        web.post("/sign-out", data=token, headers={"X-Request-Id": "req-c"})
        web.get("/", headers={"X-Request-Id": "req-d"})
    told = [entries(name)[0] for name in ("req-a", "req-b", "req-c", "req-d")]
    assert [(e["action"], e["result"]) for e in told] == [
        ("session.begin", "changed"), ("case.list", "answered"), ("session.sign_out", "answered"), ("case.list", "401"),
    ]  # fmt: skip
    assert [e["actor"].partition(" (")[0] for e in told] == ["test viewer"] * 3 + ["not signed in"]


def test_an_entry_goes_when_its_act_does_and_the_failure_is_told(
    client: httpx.Client, services: Any, entries: Any
) -> None:
    def fail(session: Any) -> None:
        if session.connection().execute(select(EVENTS.c.id).where(EVENTS.c.action == "case.submit")).first():
            failures.append("the entry was written")
            raise RuntimeError("the commit fails")

    failures: list[str] = []
    once = lambda session: None if failures else fail(session)  # noqa: E731
    services.ground.database.at_commit(once, lambda _: None, lambda _: None)
    answer = client.post("/cases", json=case_json(), headers={"X-Request-Id": "req-1"})
    assert (answer.status_code, failures) == (500, ["the entry was written"])
    assert [(e["action"], e["result"]) for e in entries("req-1")] == [("case.submit", "500")]
    with services.ground.database.reading() as session:
        assert session.scalar(select(CaseRow.id)) is None


def test_what_can_be_told_nowhere_is_not_answered(
    client: httpx.Client, services: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = client.post("/cases", json=case_json()).json()["id"]

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Waiting, "put", full)
    with services.ground.database.transaction() as session:
        session.connection().execute(select(HEAD).with_for_update())  # another writes, and is not done
        answer = client.get(f"/cases/{case}")
    assert (answer.status_code, answer.headers["Content-Type"]) == (507, "application/problem+json")
    assert "cough" not in answer.text


def case_text() -> str:
    import json

    return json.dumps(case_json())
