"""Lists of cases: newest first, page by page, filtered."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.api.conftest import case_json


@pytest.fixture
def seven(client: httpx.Client) -> list[str]:
    ids = []
    for n in range(7):
        label = {0: [], 1: ["pneumonia"], 2: ["covid-19", "pneumonia"]}.get(n, ...)
        body = case_json(
            external_id=f"acc-{n}", note=f"Note {n} 100%_sure Fièvre", diagnoses=label, patient={"id": f"p-{n}"}
        )
        ids.append(client.post("/cases", json=body).raise_for_status().json()["id"])
    return ids


def listed(client: httpx.Client, **params: Any) -> list[str]:
    answer = client.get("/cases", params=params)
    assert answer.status_code == 200, answer.text
    return [c["external_id"] for c in answer.json()["items"]]


def test_an_empty_project_has_an_empty_page(client: httpx.Client) -> None:
    assert client.get("/cases").json() == {"items": [], "next_cursor": None}


def test_newest_come_first(client: httpx.Client, seven: list[str]) -> None:
    assert listed(client) == [f"acc-{n}" for n in reversed(range(7))]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
def test_pages_hold_every_case_once_though_others_come_in_meanwhile(
    client: httpx.Client, seven: list[str], limit: int
) -> None:
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = client.get("/cases", params={"limit": limit, **cursor}).json()
        assert len(page["items"]) <= limit
        seen += [c["id"] for c in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
        client.post("/cases", json=case_json(external_id=f"late-{len(seen)}"))
    assert seen == list(reversed(seven))


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({"q": "ACC-3"}, ["acc-3"]),
        ({"q": "p-4"}, ["acc-4"]),
        ({"q": "note 5"}, ["acc-5"]),
        ({"q": "100%_sure", "limit": 1}, ["acc-6"]),
        ({"q": "100x_sure"}, []),
        ({"q": "%"}, [f"acc-{n}" for n in reversed(range(7))]),
        ({"q": "' OR 1=1 --"}, []),
        ({"diagnosis": "pneumonia"}, ["acc-2", "acc-1"]),
        ({"diagnosis": "covid-19"}, ["acc-2"]),
        ({"diagnosis": "covid"}, []),
        ({"labelled": "true"}, ["acc-2", "acc-1", "acc-0"]),
        ({"labelled": "false", "limit": 2}, ["acc-6", "acc-5"]),
        ({"labelled": "true", "q": "p-1"}, ["acc-1"]),
        ({"since": "2020-01-01T00:00:00Z", "limit": 1}, ["acc-6"]),
        ({"since": "2199-01-01T00:00:00+02:00"}, []),
    ],
)
def test_filters_hold_together(
    client: httpx.Client, seven: list[str], params: dict[str, Any], found: list[str]
) -> None:
    assert listed(client, **params) == found


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ({"limit": 0}, "/limit"),
        ({"limit": 1000}, "/limit"),
        ({"limit": "many"}, "/limit"),
        ({"since": "yesterday"}, "/since"),
        ({"since": "1740000000"}, "/since"),
        ({"since": "2026-01-01T00:00:00"}, "/since"),
        ({"since": "0001-01-01T00:00:00+14:00"}, "/since"),
        ({"labelled": "perhaps"}, "/labelled"),
        ({"colour": "red"}, "/colour"),
        ({"q": "a\x00b"}, "/q"),
        ({"q": "x" * 201}, "/q"),
        ({"diagnosis": "a\x00"}, "/diagnosis"),
        ({"cursor": "\x00"}, "/cursor"),
    ],
)
def test_a_wrong_filter_is_422_and_names_itself(client: httpx.Client, params: dict[str, Any], pointer: str) -> None:
    answer = client.get("/cases", params=params)
    assert answer.status_code == 422, answer.text
    assert [e["pointer"] for e in answer.json()["errors"]] == [pointer]


@pytest.mark.parametrize("spoil", [lambda c: c[:-1], lambda c: c[1:], lambda c: "zzz' OR 1=1", lambda c: c.swapcase()])
def test_a_cursor_that_nobody_gave_is_422(client: httpx.Client, seven: list[str], spoil: Any) -> None:
    cursor = client.get("/cases", params={"limit": 2}).json()["next_cursor"]
    answer = client.get("/cases", params={"cursor": spoil(cursor)})
    assert (answer.status_code, [e["pointer"] for e in answer.json()["errors"]]) == (422, ["/cursor"])
