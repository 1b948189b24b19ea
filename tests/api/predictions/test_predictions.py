"""Predictions: the model's own words, kept with the model's id."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from clinical_mm.case import Case
from tests.api.conftest import case_json
from tests.api.stored import Stored, state_of

ClientAs = Callable[[str], httpx.Client]


def test_a_prediction_is_what_the_model_itself_says(
    client: httpx.Client, case: str, model: str, trained_bundle: Path, phantom_cases: list[Case]
) -> None:
    from clinical_mm import load_model

    answer = client.post(f"/cases/{case}/predictions")
    assert answer.status_code == 201, answer.text
    made = answer.json()
    [own] = load_model(trained_bundle).predict([phantom_cases[0]])
    told = own.to_json()
    assert [d["code"] for d in made["diagnoses"]] == [d["code"] for d in told["diagnoses"]]
    assert [d["probability"] for d in made["diagnoses"]] == pytest.approx(
        [d["probability"] for d in told["diagnoses"]],
        abs=5.1e-4,  # shown with three digits
    )
    assert made["prediction_set"] == told["prediction_set"]
    assert (made["case_id"], made["model"], made["warnings"], made["abstained"]) == (case, model, [], False)
    assert sum(m["weight"] for m in made["modalities"] if m["present"]) == pytest.approx(1, abs=1e-4)


def test_it_is_kept_and_listed_newest_first(client: httpx.Client, case: str, model: str) -> None:
    first, second = (client.post(f"/cases/{case}/predictions") for _ in range(2))
    assert first.headers["Location"] == f"/v1/predictions/{first.json()['id']}"
    assert client.get(first.headers["Location"].removeprefix("/v1")).json() == first.json()
    assert client.get(f"/cases/{case}/predictions").json()["items"] == [second.json(), first.json()]


def test_without_a_model_it_says_how_to_get_one(client: httpx.Client, case: str) -> None:
    answer = client.post(f"/cases/{case}/predictions")
    assert (answer.status_code, answer.headers["Content-Type"]) == (503, "application/problem+json")
    assert "POST /v1/training-runs" in answer.json()["detail"]


def test_what_a_case_lacks_is_told_and_has_no_weight(client: httpx.Client, model: str) -> None:
    case = client.post("/cases", json=case_json(vitals=..., patient={"id": "p-1"})).json()["id"]
    made = client.post(f"/cases/{case}/predictions").json()
    assert {w["code"] for w in made["warnings"]} == {"image-missing", "vitals-missing"}
    present = {m["name"]: (m["present"], m["weight"]) for m in made["modalities"]}
    assert present["imaging"] == (False, 0)
    assert present["text"] == (True, pytest.approx(1, abs=1e-4))


def test_a_blank_image_and_a_note_in_another_language_are_told(client: httpx.Client, model: str) -> None:
    blank, told = io.BytesIO(), case_json(note="Patient mit Fieber und Husten seit drei Tagen, keine Atemnot.")
    Image.new("L", (64, 64), 128).save(blank, "PNG")
    parts = [("case", (None, json.dumps(told), "application/json")), ("files", ("film.png", blank.getvalue()))]
    case = client.post("/cases", files=parts).json()["id"]
    warnings = {w["code"]: w["detail"] for w in client.post(f"/cases/{case}/predictions").json()["warnings"]}
    assert set(warnings) == {"blank-image", "other-language"}
    assert warnings["blank-image"].startswith("image 1 is of one brightness")
    assert warnings["other-language"] == "the note reads as German; the model learned from English"


def test_a_named_model_answers_and_another_projects_is_not_found(
    client: httpx.Client, case: str, model: str, new_model: Callable[..., str], stored: Stored
) -> None:
    later, foreign = new_model(), new_model("another hospital")
    assert client.post(f"/cases/{case}/predictions", json={"model": later}).json()["model"] == later
    assert client.post(f"/cases/{case}/predictions").json()["model"] == model
    before = state_of(stored)
    for absent in (foreign, "model_none"):
        assert client.post(f"/cases/{case}/predictions", json={"model": absent}).status_code == 404
    assert state_of(stored) == before


def test_nobody_else_predicts_or_reads(client: httpx.Client, client_as: ClientAs, case: str, model: str) -> None:
    made = client.post(f"/cases/{case}/predictions").json()["id"]
    viewer, stranger = client_as("viewer"), client_as("stranger")
    assert viewer.get(f"/predictions/{made}").status_code == 200
    assert viewer.post(f"/cases/{case}/predictions").status_code == 403
    assert stranger.get(f"/predictions/{made}").status_code == 404
    assert stranger.get(f"/cases/{case}/predictions").status_code == 404
    assert stranger.post(f"/cases/{case}/predictions").status_code == 404


def test_predictions_go_with_their_case(client: httpx.Client, case: str, model: str) -> None:
    made = client.post(f"/cases/{case}/predictions").json()["id"]
    assert client.delete(f"/cases/{case}").status_code == 204
    assert client.get(f"/predictions/{made}").status_code == 404


def test_a_damaged_model_is_no_fault_of_the_caller(
    client: httpx.Client, case: str, model: str, services: Any, stored: Stored
) -> None:
    (services.models.bundle_folder(model) / "models" / "model.safetensors").unlink()
    before = state_of(stored)
    answer = client.post(f"/cases/{case}/predictions")
    assert answer.status_code == 503, answer.text
    assert model in answer.json()["detail"]
    assert str(services.ground.settings.workspace) not in answer.text
    assert state_of(stored) == before


def test_each_prediction_is_in_the_trail_once(client: httpx.Client, case: str, model: str) -> None:
    made = client.post(f"/cases/{case}/predictions").json()["id"]
    client.get(f"/predictions/{made}")
    [entry] = client.get("/audit", params={"object_id": made, "result": "changed"}).json()["items"]
    assert entry["action"] == "prediction.create"
