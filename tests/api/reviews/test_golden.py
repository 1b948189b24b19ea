"""Golden cases: an admin locks a label, and then no review and no change moves what models are judged by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.api.conftest import case_json
from tests.api.stored import Stored, state_of

ClientAs = Callable[[str], httpx.Client]


@pytest.fixture
def labelled(client: httpx.Client) -> str:
    """A case that came with the label pneumonia."""
    return str(client.post("/cases", json=case_json()).raise_for_status().json()["id"])


@pytest.fixture
def golden(client: httpx.Client, labelled: str) -> str:
    """The same, locked."""
    client.put(f"/cases/{labelled}/golden").raise_for_status()
    return labelled


def say(client: httpx.Client, case: str, diagnoses: list[str]) -> str:
    said = {"verdict": "override", "diagnoses": diagnoses}
    return str(client.post(f"/cases/{case}/reviews", json=said).raise_for_status().json()["id"])


def label(client: httpx.Client, case: str) -> Any:
    return client.get(f"/cases/{case}").json()["diagnoses"]


def test_an_admin_locks_a_label_with_who_and_when(client: httpx.Client, labelled: str) -> None:
    before = client.get(f"/cases/{labelled}").json()
    assert (before["golden_by"], before["golden_at"]) == (None, None)
    locked = client.put(f"/cases/{labelled}/golden")
    assert locked.status_code == 200, locked.text
    assert locked.json()["golden_by"].startswith("test admin")
    assert client.put(f"/cases/{labelled}/golden").json() == locked.json(), "a second time changes nothing"
    assert [c["id"] for c in client.get("/cases", params={"golden": True}).json()["items"]] == [labelled]
    told = client.get("/audit", params={"object_id": labelled}).json()["items"]
    assert [e["action"] for e in told if e["result"] == "changed"] == ["case.golden", "case.submit"]


def test_a_review_of_a_golden_case_is_kept_and_changes_no_label(
    client: httpx.Client, client_as: ClientAs, golden: str
) -> None:
    review = say(client_as("clinician"), golden, ["covid-19"])
    assert label(client, golden) == ["pneumonia"]
    assert [r["id"] for r in client.get(f"/cases/{golden}/reviews").json()["items"]] == [review]
    client_as("clinician").post(f"/reviews/{review}/withdraw").raise_for_status()
    assert label(client, golden) == ["pneumonia"]


@pytest.mark.parametrize("change", [{"diagnoses": ["covid-19"]}, {"diagnoses": None}, {"note": "Well."}])
def test_neither_the_label_nor_the_evidence_of_a_golden_case_can_be_changed(
    client: httpx.Client, golden: str, change: dict[str, Any], stored: Stored
) -> None:
    before = state_of(stored)
    answer = client.patch(f"/cases/{golden}", json=change)
    assert answer.status_code == 409
    assert "test admin" in answer.json()["detail"]
    assert state_of(stored) == before


def test_out_of_the_set_the_label_follows_from_the_reviews_again(
    client: httpx.Client, client_as: ClientAs, golden: str
) -> None:
    say(client_as("clinician"), golden, ["covid-19"])
    assert client.delete(f"/cases/{golden}/golden").status_code == 204
    assert label(client, golden) == ["covid-19"]
    assert client.get("/cases", params={"golden": True}).json()["items"] == []
    assert client.delete(f"/cases/{golden}/golden").status_code == 204, "it is not golden already"


def test_a_case_without_a_label_cannot_judge(client: httpx.Client) -> None:
    case = client.post("/cases", json=case_json(diagnoses=...)).json()["id"]
    answer = client.put(f"/cases/{case}/golden")
    assert answer.status_code == 409
    assert "label it first" in answer.json()["detail"]


def test_only_an_admin_of_the_project_locks_and_unlocks(client_as: ClientAs, golden: str, stored: Stored) -> None:
    before = state_of(stored)
    for role, status in {"viewer": 403, "clinician": 403, "trainer": 403, "stranger": 404, "nobody": 401}.items():
        assert client_as(role).put(f"/cases/{golden}/golden").status_code == status
        assert client_as(role).delete(f"/cases/{golden}/golden").status_code == status
    assert state_of(stored) == before


def test_a_golden_case_is_erased_like_any_other(client: httpx.Client, golden: str) -> None:
    assert client.delete(f"/cases/{golden}").status_code == 204
    assert client.get(f"/cases/{golden}").status_code == 404


def test_an_export_keeps_the_set_and_an_import_locks_it_again(services: Any, client: httpx.Client, golden: str) -> None:
    from clinical_mm.importing.folder import whole_folder, write_folder

    other = client.post("/cases", json=case_json(external_id="acc-2")).json()["id"]
    project = services.access.operator("default").project_id
    folder = services.ground.settings.workspace / "export"
    write_folder(services.cases.select(project, {}), folder)
    read = {case.id: case.golden for case in whole_folder(folder, services.ground.catalogue)}
    assert read == {golden: True, other: False}
