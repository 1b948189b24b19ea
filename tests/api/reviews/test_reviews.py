"""A reviewer's word: the label follows it, the history stays, and it is stored whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from api.audit.service import Audit
from tests.api.conftest import case_json
from tests.api.stored import Stored, state_of

ClientAs = Callable[[str], httpx.Client]


@pytest.fixture
def unlabelled(client: httpx.Client) -> str:
    """A case that waits for a word."""
    return str(client.post("/cases", json=case_json(diagnoses=...)).raise_for_status().json()["id"])


@pytest.fixture
def prediction(client: httpx.Client, unlabelled: str, model: str) -> dict[str, Any]:
    """What the model said about it."""
    return dict(client.post(f"/cases/{unlabelled}/predictions").raise_for_status().json())


def label(client: httpx.Client, case: str) -> Any:
    return client.get(f"/cases/{case}").json()["diagnoses"]


def test_confirming_a_prediction_makes_its_probable_diagnoses_the_label(
    client_as: ClientAs, unlabelled: str, prediction: dict[str, Any]
) -> None:
    clinician = client_as("clinician")
    said = {"prediction": prediction["id"], "verdict": "confirm", "comment": "As seen."}
    answer = clinician.post(f"/cases/{unlabelled}/reviews", json=said)
    assert answer.status_code == 201, answer.text
    probable = sorted(d["code"] for d in prediction["diagnoses"] if d["probability"] >= 0.5)
    case = clinician.get(f"/cases/{unlabelled}").json()
    assert case["diagnoses"] == answer.json()["diagnoses"] == probable
    assert "test clinician" in case["labelled_by"]
    assert case["labelled_at"] is not None
    assert (answer.json()["comment"], answer.json()["prediction_id"]) == ("As seen.", prediction["id"])


def test_confirming_with_diagnoses_takes_those(client: httpx.Client, unlabelled: str) -> None:
    said = {"verdict": "confirm", "diagnoses": ["tuberculosis", "pneumonia", "pneumonia"]}
    client.post(f"/cases/{unlabelled}/reviews", json=said).raise_for_status()
    assert label(client, unlabelled) == ["pneumonia", "tuberculosis"]


def test_an_override_replaces_the_label_and_the_history_stays(client: httpx.Client, unlabelled: str) -> None:
    words = [["pneumonia"], ["tuberculosis"], []]
    for diagnoses in words:
        said = {"verdict": "override", "diagnoses": diagnoses}
        client.post(f"/cases/{unlabelled}/reviews", json=said).raise_for_status()
        assert label(client, unlabelled) == diagnoses
    history = client.get(f"/cases/{unlabelled}/reviews").json()["items"]
    assert [r["diagnoses"] for r in history] == words[::-1]


def test_an_unsure_word_is_kept_and_leaves_the_label_as_it_is(client: httpx.Client) -> None:
    case = client.post("/cases", json=case_json()).json()
    answer = client.post(f"/cases/{case['id']}/reviews", json={"verdict": "unsure", "comment": "Ask radiology."})
    assert (answer.status_code, answer.json()["diagnoses"]) == (201, None)
    assert client.get(f"/cases/{case['id']}").json()["diagnoses"] == case["diagnoses"]
    assert client.get(f"/cases/{case['id']}/reviews").json()["items"] == [answer.json()]


@pytest.mark.parametrize(
    ("said", "pointer"),
    [
        ({"verdict": "override"}, "/diagnoses"),
        ({"verdict": "confirm"}, "/prediction"),
        ({"verdict": "unsure", "diagnoses": ["pneumonia"]}, "/diagnoses"),
        ({"verdict": "override", "diagnoses": ["pneumonia", "gout"]}, "/diagnoses/1"),
        ({"verdict": "agree"}, "/verdict"),
        ({"diagnoses": ["pneumonia"]}, "/verdict"),
        ({"verdict": "override", "diagnoses": "pneumonia"}, "/diagnoses"),
        ({"verdict": "unsure", "mood": "good"}, "/mood"),
    ],
)
def test_what_makes_no_sense_is_pointed_at_and_stores_nothing(
    client: httpx.Client, unlabelled: str, stored: Stored, said: dict[str, Any], pointer: str
) -> None:
    before = state_of(stored)
    answer = client.post(f"/cases/{unlabelled}/reviews", json=said)
    assert answer.status_code == 422, answer.text
    assert [e["pointer"] for e in answer.json()["errors"]] == [pointer]
    assert state_of(stored) == before


def test_a_prediction_of_another_case_cannot_be_confirmed(
    client: httpx.Client, prediction: dict[str, Any], stored: Stored
) -> None:
    other = client.post("/cases", json=case_json(external_id="acc-2", diagnoses=...)).json()["id"]
    before = state_of(stored)
    said = {"prediction": prediction["id"], "verdict": "confirm"}
    answer = client.post(f"/cases/{other}/reviews", json=said)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/prediction")
    said["prediction"] = "prediction_none"
    assert client.post(f"/cases/{other}/reviews", json=said).status_code == 404
    assert state_of(stored) == before


def test_review_label_and_trail_are_stored_together_or_not_at_all(
    client: httpx.Client, unlabelled: str, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("the trail cannot be written")

    before = state_of(stored)
    said = {"verdict": "override", "diagnoses": ["pneumonia"]}
    with monkeypatch.context() as patched:
        patched.setattr(Audit, "record", broken)
        assert client.post(f"/cases/{unlabelled}/reviews", json=said).status_code == 500
    assert state_of(stored) == before
    review = client.post(f"/cases/{unlabelled}/reviews", json=said).json()
    [entry] = client.get("/audit", params={"object_id": review["id"], "result": "changed"}).json()["items"]
    assert entry["action"] == "review.create"
    assert "pneumonia" not in str(entry)


def test_a_viewer_reads_and_a_stranger_finds_nothing(
    client: httpx.Client, client_as: ClientAs, unlabelled: str, stored: Stored
) -> None:
    said = {"verdict": "override", "diagnoses": ["pneumonia"]}
    before = state_of(stored)
    assert client_as("viewer").post(f"/cases/{unlabelled}/reviews", json=said).status_code == 403
    assert client_as("stranger").post(f"/cases/{unlabelled}/reviews", json=said).status_code == 404
    assert client_as("stranger").get(f"/cases/{unlabelled}/reviews").status_code == 404
    assert state_of(stored) == before
    assert client_as("viewer").get(f"/cases/{unlabelled}/reviews").json() == {"items": []}


def test_a_label_is_no_input_so_what_was_predicted_can_still_be_explained(
    client: httpx.Client, unlabelled: str, prediction: dict[str, Any]
) -> None:
    said = {"prediction": prediction["id"], "verdict": "override", "diagnoses": []}
    client.post(f"/cases/{unlabelled}/reviews", json=said).raise_for_status()
    assert client.post(f"/predictions/{prediction['id']}/explanations", json={}).status_code == 201
