"""The trail: newest first, page by page, by object and action, for admins of the project alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.api.conftest import case_json


def test_who_did_what_to_which_object(client_as: Callable[[str], httpx.Client]) -> None:
    case = client_as("clinician").post("/cases", json=case_json(), headers={"X-Request-Id": "trace-1"}).json()
    (entry,) = client_as("admin").get("/audit").json()["items"]
    assert (entry["action"], entry["object_type"], entry["object_id"]) == ("case.submit", "case", case["id"])
    assert entry["actor"].startswith("test clinician")
    assert (entry["role"], entry["request_id"]) == ("clinician", "trace-1")
    assert entry["at"].endswith("Z")


def test_no_word_of_the_patient_is_in_it(client: httpx.Client) -> None:
    client.post("/cases", json=case_json())
    text = client.get("/audit").text
    assert not any(word in text for word in ("p-1", "cough", "acc-1", "pneumonia"))


def test_pages_hold_every_entry_once(client: httpx.Client) -> None:
    for n in range(5):
        client.post("/cases", json=case_json(external_id=f"acc-{n}"))
    wanted = {"limit": 3, "action": "case.submit"}
    first = client.get("/audit", params=wanted).json()
    second = client.get("/audit", params={**wanted, "cursor": first["next_cursor"]}).json()
    ids = [e["id"] for e in first["items"] + second["items"]]
    assert len(ids) == 5
    assert ids == sorted(ids, reverse=True)
    assert second["next_cursor"] is None


def test_by_action(client: httpx.Client) -> None:
    case = client.post("/cases", json=case_json()).json()
    client.patch(f"/cases/{case['id']}", json={"note": "x"})
    assert [e["action"] for e in client.get("/audit", params={"action": "case.change"}).json()["items"]] == [
        "case.change"
    ]


def test_another_project_sees_none_of_it(client_as: Callable[[str], httpx.Client]) -> None:
    client_as("clinician").post("/cases", json=case_json())
    assert client_as("stranger").get("/audit").json()["items"] == []
    assert [e["action"] for e in client_as("stranger").get("/audit").json()["items"]] == ["audit.list"]


@pytest.mark.parametrize(
    "params",
    [
        {"limit": 0},
        {"cursor": "x"},
        {"cursor": 0},
        {"cursor": 10**30},
        {"who": "me"},
        {"action": "a\x00"},
        {"object_id": "Smith"},
    ],
)
def test_a_wrong_question_is_422(client: httpx.Client, params: dict[str, Any]) -> None:
    assert client.get("/audit", params=params).status_code == 422
