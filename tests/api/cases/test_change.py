"""Changing a case: what is named changes, the rest stays, and nobody overwrites what they have not seen."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.api.conftest import case_json
from tests.api.stored import Stored, state_of


@pytest.fixture
def case(client: httpx.Client) -> dict[str, Any]:
    return dict(client.post("/cases", json=case_json()).raise_for_status().json())


def test_a_field_that_is_named_changes_and_the_rest_stays(client: httpx.Client, case: dict[str, Any]) -> None:
    answer = client.patch(f"/cases/{case['id']}", json={"note": "Afebrile now."})
    assert answer.status_code == 200, answer.text
    changed = answer.json()
    assert (changed["note"], changed["version"]) == ("Afebrile now.", 2)
    assert answer.headers["ETag"] == '"2"'
    moved = {"note", "version", "updated_at"}
    assert {k: v for k, v in changed.items() if k not in moved} == {k: v for k, v in case.items() if k not in moved}
    assert client.get(f"/cases/{case['id']}").json() == changed


def test_null_removes(client: httpx.Client, case: dict[str, Any]) -> None:
    changed = client.patch(f"/cases/{case['id']}", json={"note": None, "acquired_at": None, "diagnoses": None}).json()
    assert (changed["note"], changed["acquired_at"], changed["diagnoses"]) == (None, None, None)
    assert (changed["labelled_by"], changed["labelled_at"]) == (None, None)


def test_vitals_are_converted_as_at_submission(client: httpx.Client, case: dict[str, Any]) -> None:
    body = {"vitals": {"temperature": {"value": 98.6, "unit": "[degF]"}}}
    assert client.patch(f"/cases/{case['id']}", json=body).json()["vitals"] == {"temperature": pytest.approx(37.0)}


def test_a_label_says_who_set_it(client: httpx.Client, case: dict[str, Any]) -> None:
    changed = client.patch(f"/cases/{case['id']}", json={"diagnoses": ["covid-19"]}).json()
    assert changed["diagnoses"] == ["covid-19"]
    assert changed["labelled_by"].startswith("test admin")


def test_an_empty_label_is_not_the_same_as_none(client: httpx.Client, case: dict[str, Any]) -> None:
    assert client.patch(f"/cases/{case['id']}", json={"diagnoses": []}).json()["diagnoses"] == []
    assert [c["id"] for c in client.get("/cases", params={"labelled": True}).json()["items"]] == [case["id"]]


def test_a_change_to_another_version_is_refused(client: httpx.Client, case: dict[str, Any]) -> None:
    where = f"/cases/{case['id']}"
    assert client.patch(where, json={"note": "a"}, headers={"If-Match": '"1"'}).status_code == 200
    stale = client.patch(where, json={"note": "b"}, headers={"If-Match": '"1"'})
    assert stale.status_code == 412
    assert client.delete(where, headers={"If-Match": '"1"'}).status_code == 412
    assert client.get(where).json()["note"] == "a"
    assert client.patch(where, json={"note": "c"}, headers={"If-Match": '"7", "2"'}).status_code == 200
    assert client.patch(where, json={"note": "d"}, headers={"If-Match": "*"}).status_code == 200
    assert client.patch(where, json={"note": "e"}, headers={"If-Match": "nonsense"}).status_code == 412


def test_of_many_who_change_the_same_version_one_wins(client: httpx.Client, case: dict[str, Any]) -> None:
    def change(n: int) -> int:
        return client.patch(f"/cases/{case['id']}", json={"note": f"note {n}"}, headers={"If-Match": '"1"'}).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(change, range(8))) == [200, *[412] * 7]


def test_what_has_not_changed_need_not_be_sent_again(client: httpx.Client, case: dict[str, Any]) -> None:
    where = f"/cases/{case['id']}"
    assert client.get(where, headers={"If-None-Match": '"1"'}).status_code == 304
    client.patch(where, json={"note": "a"})
    assert client.get(where, headers={"If-None-Match": '"1"'}).status_code == 200


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"vitals": {"spo2": 250}}, "/vitals/spo2"),
        ({"vitals": {"mood": 3}}, "/vitals/mood"),
        ({"vitals": {"temperature": {"value": 37, "unit": "kg"}}}, "/vitals/temperature/unit"),
        ({"diagnoses": ["the-flu"]}, "/diagnoses/0"),
        ({"note": "a\x00b"}, "/note"),
        ({"note": 7}, "/note"),
        ({"version": 9}, "/version"),
        ({"acquired_at": "soon"}, "/acquired_at"),
        ({"acquired_at": 1740000000}, "/acquired_at"),
        ({"note": None, "vitals": None}, ""),
        ({"note": " ", "vitals": {}}, ""),
        ([], ""),
        ("note", ""),
    ],
)
def test_a_wrong_change_points_at_the_fault_and_changes_nothing(
    client: httpx.Client, case: dict[str, Any], stored: Stored, body: Any, pointer: str
) -> None:
    before = state_of(stored)
    answer = client.patch(f"/cases/{case['id']}", json=body)
    assert answer.status_code == 422, answer.text
    assert [e["pointer"] for e in answer.json()["errors"]] == [pointer]
    assert state_of(stored) == before


def test_a_change_is_in_the_trail_by_field_and_never_by_content(client: httpx.Client, case: dict[str, Any]) -> None:
    client.patch(f"/cases/{case['id']}", json={"note": "Secret words."})
    (newest, _) = client.get("/audit", params={"object_id": case["id"], "result": "changed"}).json()["items"]
    assert (newest["action"], newest["detail"]) == ("case.change", {"fields": ["note"]})
