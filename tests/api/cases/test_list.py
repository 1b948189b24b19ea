"""Lists of cases: newest first, page by page, filtered."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from api.ground.cursors import opened
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


def found_by(client: httpx.Client, **wanted: Any) -> list[str]:
    answer = client.post("/cases/search", json=wanted)
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
        ({"diagnosis": "pneumonia"}, ["acc-2", "acc-1"]),
        ({"diagnosis": "covid-19"}, ["acc-2"]),
        ({"diagnosis": "covid"}, []),
        ({"labelled": True}, ["acc-2", "acc-1", "acc-0"]),
        ({"labelled": False, "limit": 2}, ["acc-6", "acc-5"]),
        ({"labelled": True, "diagnosis": "pneumonia", "limit": 1}, ["acc-2"]),
        ({"since": "2020-01-01T00:00:00Z", "limit": 1}, ["acc-6"]),
        ({"since": "2199-01-01T00:00:00+02:00"}, []),
    ],
)
def test_filters_hold_together_in_an_address_and_in_a_body(
    client: httpx.Client, seven: list[str], params: dict[str, Any], found: list[str]
) -> None:
    assert listed(client, **params) == found
    assert found_by(client, **params) == found


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [f"acc-{n}" for n in reversed(range(7))]),
        ({"q": "ACC-3"}, ["acc-3"]),
        ({"q": "p-4"}, ["acc-4"]),
        ({"q": "note 5"}, ["acc-5"]),
        ({"q": "100%_sure", "limit": 1}, ["acc-6"]),
        ({"q": "100x_sure"}, []),
        ({"q": "%"}, [f"acc-{n}" for n in reversed(range(7))]),
        ({"q": "' OR 1=1 --"}, []),
        ({"labelled": True, "q": "p-1"}, ["acc-1"]),
    ],
)
def test_words_are_searched_for_in_a_body(
    client: httpx.Client, seven: list[str], wanted: dict[str, Any], found: list[str]
) -> None:
    assert found_by(client, **wanted) == found


@pytest.mark.parametrize("path", ["/cases", "/cases/counts"])
@pytest.mark.parametrize("words", ["p-4", ""])
def test_words_in_an_address_are_refused_and_the_answer_names_the_way(
    client: httpx.Client, path: str, words: str
) -> None:
    answer = client.get(path, params={"q": words, "limit": 2} if path == "/cases" else {"q": words})
    [fault] = answer.json()["errors"]
    assert (answer.status_code, fault["pointer"]) == (422, "/q")
    assert "POST /v1/cases/search" in fault["detail"]
    assert "POST /v1/cases/counts" in fault["detail"]


def test_no_operation_takes_words_in_an_address(client: httpx.Client) -> None:
    document = httpx.get(str(client.base_url.join("/openapi.json"))).json()
    named = [
        (path, parameter["name"])
        for path, item in document["paths"].items()
        for operation in item.values()
        for parameter in operation.get("parameters", [])
        if parameter.get("in") == "query"
    ]
    assert len(named) > 20
    assert {name for _, name in named} & {"q", "external_id", "patient", "patient_id", "note"} == set()


def test_pages_of_a_search_hold_every_case_once_and_their_cursors_no_word_of_it(
    client: httpx.Client, seven: list[str]
) -> None:
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = client.post("/cases/search", json={"q": "Fièvre", "limit": 2, "cursor": cursor}).json()
        seen += [c["id"] for c in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        assert opened(cursor) == page["items"][-1]["id"]  # a place in the list, and nothing else
        client.post("/cases", json=case_json(external_id=f"late-{len(seen)}", note="Fièvre, later."))
    assert seen == list(reversed(seven))


def test_a_search_may_come_with_an_idempotency_key_and_answers_anew(client: httpx.Client, seven: list[str]) -> None:
    headers, wanted = {"Idempotency-Key": "k"}, {"q": "note 5"}
    assert len(client.post("/cases/search", json=wanted, headers=headers).json()["items"]) == 1
    client.post("/cases", json=case_json(external_id="acc-7", note="Note 5 again."))
    assert len(client.post("/cases/search", json=wanted, headers=headers).json()["items"]) == 2


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
        ({"diagnosis": "a\x00"}, "/diagnosis"),
        ({"cursor": "\x00"}, "/cursor"),
    ],
)
def test_a_wrong_filter_is_422_and_names_itself(client: httpx.Client, params: dict[str, Any], pointer: str) -> None:
    for answer in (client.get("/cases", params=params), client.post("/cases/search", json=params)):
        assert answer.status_code == 422, answer.text
        assert [e["pointer"] for e in answer.json()["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("wanted", "pointer"),
    [({"q": "x" * 201}, "/q"), ({"q": 4}, "/q"), ({"limit": "5"}, "/limit"), ({"limit": 5.5}, "/limit"), ({"labelled": "yes"}, "/labelled"),
     ({"golden": 1}, "/golden"), ({"cursor": "made up"}, "/cursor")],
)  # fmt: skip
def test_a_wrong_search_is_422_and_names_itself(client: httpx.Client, wanted: dict[str, Any], pointer: str) -> None:
    answer = client.post("/cases/search", json=wanted)
    assert (answer.status_code, [e["pointer"] for e in answer.json()["errors"]]) == (422, [pointer])


def test_a_whole_number_may_be_written_with_a_point_as_json_has_it(client: httpx.Client, seven: list[str]) -> None:
    answer = client.post("/cases/search", content='{"limit": 2.0}', headers={"Content-Type": "application/json"})
    assert (answer.status_code, len(answer.json()["items"])) == (200, 2)


@pytest.mark.parametrize("spoil", [lambda c: c[:-1], lambda c: c[1:], lambda c: "zzz' OR 1=1", lambda c: c.swapcase()])
def test_a_cursor_that_nobody_gave_is_422(client: httpx.Client, seven: list[str], spoil: Any) -> None:
    cursor = client.get("/cases", params={"limit": 2}).json()["next_cursor"]
    answer = client.get("/cases", params={"cursor": spoil(cursor)})
    assert (answer.status_code, [e["pointer"] for e in answer.json()["errors"]]) == (422, ["/cursor"])
