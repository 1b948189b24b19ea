"""Projects that read first: a verdict from before the model's answer is kept beside the one from after."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.api.conftest import case_json

ClientAs = Callable[[str], httpx.Client]
UNSEEN = {"verdict": "override", "diagnoses": ["covid-19"], "before_model": True}


@pytest.fixture
def reading_first(client: httpx.Client) -> None:
    client.patch("/project", json={"read_first": True}).raise_for_status()


@pytest.fixture
def unlabelled(client: httpx.Client) -> str:
    return str(client.post("/cases", json=case_json(diagnoses=...)).raise_for_status().json()["id"])


@pytest.mark.usefixtures("reading_first")
def test_both_words_are_kept_and_only_the_one_from_after_is_the_label(client: httpx.Client, unlabelled: str) -> None:
    before = client.post(f"/cases/{unlabelled}/reviews", json=UNSEEN)
    assert (before.status_code, before.json()["before_model"], before.json()["prediction_id"]) == (201, True, None)
    case = client.get(f"/cases/{unlabelled}").json()
    assert (case["diagnoses"], case["review"], case["disagreement"]) == (None, "unreviewed", None)
    after = {"verdict": "override", "diagnoses": ["pneumonia"]}
    client.post(f"/cases/{unlabelled}/reviews", json=after).raise_for_status()
    history = client.get(f"/cases/{unlabelled}/reviews").json()["items"]
    assert [(r["before_model"], r["diagnoses"]) for r in history] == [(False, ["pneumonia"]), (True, ["covid-19"])]
    assert client.get(f"/cases/{unlabelled}").json()["diagnoses"] == ["pneumonia"]


@pytest.mark.usefixtures("reading_first")
@pytest.mark.parametrize(
    ("change", "pointer"),
    [({"prediction": "prediction_x"}, "/prediction"), ({"verdict": "confirm"}, "/verdict")],
)
def test_what_was_not_seen_can_be_neither_named_nor_confirmed(
    client: httpx.Client, unlabelled: str, change: dict[str, Any], pointer: str
) -> None:
    answer = client.post(f"/cases/{unlabelled}/reviews", json={**UNSEEN, **change})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


@pytest.mark.usefixtures("reading_first")
def test_each_reader_reads_a_version_of_a_case_unseen_once(client_as: ClientAs, unlabelled: str) -> None:
    address, clinician = f"/cases/{unlabelled}/reviews", client_as("clinician")
    assert clinician.post(address, json=UNSEEN).status_code == 201
    again = clinician.post(address, json=UNSEEN)
    assert (again.status_code, "seen the model's answer" in again.json()["detail"]) == (409, True)
    assert client_as("trainer").post(address, json=UNSEEN).status_code == 201  # another reader
    clinician.patch(f"/cases/{unlabelled}", json={"note": "Something else."}).raise_for_status()
    assert clinician.post(address, json=UNSEEN).status_code == 201  # another version


@pytest.mark.usefixtures("reading_first")
def test_a_verdict_given_unseen_cannot_be_taken_back(client: httpx.Client, unlabelled: str) -> None:
    review = client.post(f"/cases/{unlabelled}/reviews", json=UNSEEN).json()
    answer = client.post(f"/reviews/{review['id']}/withdraw")
    assert (answer.status_code, "stays" in answer.json()["detail"]) == (409, True)


@pytest.mark.usefixtures("reading_first", "model")
def test_the_api_itself_still_answers_with_predictions(client: httpx.Client, case: str) -> None:
    assert client.post(f"/cases/{case}/predictions").status_code == 201
    assert len(client.get(f"/cases/{case}/predictions").json()["items"]) == 1


def test_a_project_that_does_not_read_first_takes_no_such_verdict(client: httpx.Client, unlabelled: str) -> None:
    answer = client.post(f"/cases/{unlabelled}/reviews", json=UNSEEN)
    assert (answer.status_code, "PATCH /v1/project" in answer.json()["detail"]) == (409, True)
