"""Explanations: an account that adds up, of the model that predicted, kept with its pictures."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.api.conftest import case_json
from tests.api.stored import Stored, state_of

ClientAs = Callable[[str], httpx.Client]


@pytest.fixture
def prediction(client: httpx.Client, case: str, model: str) -> dict[str, Any]:
    """A prediction of a case with image, note and vitals."""
    return dict(client.post(f"/cases/{case}/predictions").raise_for_status().json())


@pytest.fixture
def explanation(client: httpx.Client, prediction: dict[str, Any]) -> dict[str, Any]:
    """Why its most probable diagnosis."""
    answer = client.post(f"/predictions/{prediction['id']}/explanations", json={})
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"/v1/explanations/{answer.json()['id']}"
    return dict(answer.json())


def test_a_reader_can_sum_it(
    client: httpx.Client, prediction: dict[str, Any], explanation: dict[str, Any], case: str
) -> None:
    top = prediction["diagnoses"][0]
    assert (explanation["target"], explanation["scale"]) == (top["code"], "log-odds")
    assert 1 / (1 + math.exp(-explanation["value"])) == pytest.approx(top["probability"], abs=1e-3)
    gap = explanation["value"] - explanation["baseline_value"]
    allowed = max(abs(gap), 0.1) * explanation["completeness_error"] + 1e-5
    assert sum(m["contribution"] for m in explanation["modalities"]) == pytest.approx(gap, abs=allowed)
    assert explanation["completeness_error"] <= 0.01

    stored = client.get(f"/cases/{case}").json()
    assert explanation["text"]
    assert all(stored["note"][s["start"] : s["end"]] == s["text"] for s in explanation["text"])
    parts = {m["name"]: m["contribution"] - m["presence"] for m in explanation["modalities"]}
    assert sum(s["attribution"] for s in explanation["text"]) == pytest.approx(parts["text"], abs=0.02)
    assert sum(v["attribution"] for v in explanation["vitals"]) == pytest.approx(parts["vitals"], abs=0.02)
    shown = {v["name"]: v["value"] for v in explanation["vitals"]}
    assert {name: shown[name] for name in stored["vitals"]} == pytest.approx(stored["vitals"])


def test_the_note_is_told_in_phrases_that_add_up_to_its_words(
    client: httpx.Client, explanation: dict[str, Any], case: str
) -> None:
    note = client.get(f"/cases/{case}").json()["note"]
    phrases = explanation["phrases"]
    assert [note[p["start"] : p["end"]] for p in phrases] == [p["text"] for p in phrases]
    assert len(phrases) < len(explanation["text"])
    words = sum(s["attribution"] for s in explanation["text"])
    assert sum(p["attribution"] for p in phrases) == pytest.approx(words, abs=1e-4)
    assert {p["context"] for p in phrases} >= {"affirmed", "negated"}


def test_its_heat_map_lies_over_the_image(client: httpx.Client, explanation: dict[str, Any], case: str) -> None:
    file = client.get(f"/cases/{case}").json()["files"][0]
    [heat] = explanation["images"]
    x, y = heat["peak"]
    assert (heat["file"], heat["frame"]) == (0, 0)
    assert 0 <= x < file["columns"]
    assert 0 <= y < file["rows"]
    path = heat["heatmap"].removeprefix("/v1")
    composed, alone = client.get(path), client.get(path, params={"overlay": "only"})
    assert composed.headers["Content-Type"] == alone.headers["Content-Type"] == "image/png"
    with Image.open(io.BytesIO(composed.content)) as picture, Image.open(io.BytesIO(alone.content)) as overlay:
        assert (picture.mode, overlay.mode) == ("RGB", "RGBA")
        assert picture.size == overlay.size
        assert math.isclose(picture.width / picture.height, file["columns"] / file["rows"], rel_tol=0.02)
        lowest, highest = overlay.getchannel("A").getextrema()
        assert lowest < highest, "it is transparent where nothing speaks and visible where something does"
        assert picture.getextrema() != ((0, 0),) * 3


def test_the_same_question_has_one_answer_and_another_target_another(
    client: httpx.Client, prediction: dict[str, Any], explanation: dict[str, Any]
) -> None:
    asked = f"/predictions/{prediction['id']}/explanations"
    assert client.post(asked, json={}).json() == explanation
    least = prediction["diagnoses"][-1]
    other = client.post(asked, json={"target": least["code"], "methods": ["integrated_gradients"]}).json()
    assert 1 / (1 + math.exp(-other["value"])) == pytest.approx(least["probability"], abs=1e-3)
    assert client.get(asked).json()["items"] == [other, explanation]
    assert client.get(f"/explanations/{other['id']}").json() == other


@pytest.mark.parametrize(
    "asked", [{"target": "gout"}, {"methods": ["astrology"]}, {"methods": []}, {"target": 7}, {"why": "so"}]
)
@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_what_cannot_be_explained_is_422_and_stores_nothing(
    client: httpx.Client, prediction: dict[str, Any], stored: Stored, asked: dict[str, Any]
) -> None:
    before = state_of(stored)
    answer = client.post(f"/predictions/{prediction['id']}/explanations", json=asked)
    assert answer.status_code == 422, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert state_of(stored) == before


def test_a_case_that_changed_since_is_not_explained_by_what_it_is_now(
    client: httpx.Client, prediction: dict[str, Any], case: str
) -> None:
    client.patch(f"/cases/{case}", json={"note": "Quite another story."}).raise_for_status()
    answer = client.post(f"/predictions/{prediction['id']}/explanations", json={})
    assert answer.status_code == 409
    assert "predict again" in answer.json()["detail"]


def test_the_model_that_predicted_explains_even_when_another_serves(
    client: httpx.Client, prediction: dict[str, Any], new_model: Callable[..., str]
) -> None:
    client.post(f"/models/{new_model()}/promote").raise_for_status()
    told = client.post(f"/predictions/{prediction['id']}/explanations", json={}).json()
    assert 1 / (1 + math.exp(-told["value"])) == pytest.approx(prediction["diagnoses"][0]["probability"], abs=1e-3)


def test_a_case_without_an_image_has_no_heat_map(client: httpx.Client, model: str) -> None:
    case = client.post("/cases", json=case_json()).json()["id"]
    made = client.post(f"/cases/{case}/predictions").json()["id"]
    told = client.post(f"/predictions/{made}/explanations", json={}).json()
    assert told["images"] == []
    assert client.get(f"/explanations/{told['id']}/images/0.png").status_code == 404


def test_nobody_else_asks_or_sees(client_as: ClientAs, prediction: dict[str, Any], explanation: dict[str, Any]) -> None:
    asked, made = f"/predictions/{prediction['id']}/explanations", f"/explanations/{explanation['id']}"
    viewer, stranger = client_as("viewer"), client_as("stranger")
    assert viewer.get(f"{made}/images/0.png").status_code == 200
    assert viewer.get(f"{made}/images/9.png").status_code == 404
    assert viewer.post(asked, json={}).status_code == 403
    for path in (made, f"{made}/images/0.png", asked):
        assert stranger.get(path).status_code == 404
    assert stranger.post(asked, json={}).status_code == 404


def test_it_goes_with_its_case_and_so_do_its_pictures(
    client: httpx.Client, explanation: dict[str, Any], case: str, stored: Stored
) -> None:
    assert len(state_of(stored).blobs) == 2, "the image, and the heat map"
    assert client.delete(f"/cases/{case}").status_code == 204
    assert state_of(stored).blobs == {}
    assert client.get(f"/explanations/{explanation['id']}").status_code == 404
