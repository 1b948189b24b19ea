"""A request with an Idempotency-Key acts once: again, at once, after a restart, until the key expires."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from api.app import create_app
from api.idempotency.service import IdempotencyKeys
from api.idempotency.tables import IdempotencyKeyRow
from api.services import build
from api.settings import Settings
from tests.api.conftest import case_json, listening
from tests.api.stored import Stored, state_of

KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}


@pytest.fixture
def creating(client: httpx.Client, case: str, model: str) -> dict[str, tuple[str, dict[str, Any], dict[str, Any]]]:
    """What makes something: path, body, and another body for the same path."""
    prediction = client.post(f"/cases/{case}/predictions").raise_for_status().json()["id"]
    said = {"prediction": prediction, "verdict": "override", "diagnoses": ["pneumonia"]}
    return {
        "a case": ("/cases", case_json(), case_json(external_id="acc-2")),
        "a prediction": (f"/cases/{case}/predictions", {}, {"model": model}),
        "an explanation": (f"/predictions/{prediction}/explanations", {}, {"target": "pneumonia"}),
        "a review": (f"/cases/{case}/reviews", said, {**said, "diagnoses": []}),
        "a training run": ("/training-runs", {"config": "small"}, {"config": "default"}),
    }


def test_whatever_a_request_makes_is_made_once(client: httpx.Client, creating: dict[str, Any], stored: Stored) -> None:
    for number, (what, (path, body, other)) in enumerate(creating.items()):
        headers = {"Idempotency-Key": f"key-{number}"}
        first = client.post(path, json=body, headers=headers)
        assert first.is_success, (what, first.text)
        before = state_of(stored)
        again = client.post(path, json=body, headers=headers)
        assert (again.status_code, again.json()["id"]) == (first.status_code, first.json()["id"]), what
        assert again.headers.get("Location") == first.headers.get("Location"), what
        refused = client.post(path, json=other, headers=headers)
        assert refused.status_code == 422, what
        assert "Idempotency-Key" in refused.json()["detail"]
        assert state_of(stored) == before, what


def test_a_key_of_one_kind_of_request_is_refused_for_another(client: httpx.Client, creating: dict[str, Any]) -> None:
    for path, body, _ in creating.values():
        answer = client.post(path, json=body, headers=KEY)
        assert answer.status_code == (201 if path == "/cases" else 422), path


def test_a_key_outlives_a_restart(settings: Settings, keys: dict[str, str]) -> None:
    made = []
    for _ in range(2):
        services = build(settings)
        with listening(create_app(services=services)) as url:
            headers = {"Authorization": f"Bearer {keys['clinician']}", **KEY}
            made.append(
                httpx.post(f"{url}/v1/cases", json=case_json(), headers=headers).raise_for_status().json()["id"]
            )
        services.close()
    assert made[0] == made[1]


def test_quotes_around_a_key_are_the_drafts_way_to_write_the_same_key(client: httpx.Client) -> None:
    keys = ("a-key", '"a-key"')
    made = [client.post("/cases", json=case_json(), headers={"Idempotency-Key": k}).json()["id"] for k in keys]
    assert made[0] == made[1]


def test_many_at_once_make_one_review(client: httpx.Client, case: str) -> None:
    said = {"verdict": "override", "diagnoses": ["pneumonia"]}
    with ThreadPoolExecutor(12) as pool:
        post = lambda _: client.post(f"/cases/{case}/reviews", json=said, headers=KEY)  # noqa: E731
        answers = list(pool.map(post, range(12)))
    assert {a.status_code for a in answers} == {201}
    assert len({a.json()["id"] for a in answers}) == 1
    assert len(client.get(f"/cases/{case}/reviews").json()["items"]) == 1


def test_a_refused_request_leaves_its_key_free(client: httpx.Client) -> None:
    assert client.post("/cases", json=case_json(vitals={"mood": 3}), headers=KEY).status_code == 422
    assert client.post("/cases", json=case_json(), headers=KEY).status_code == 201


def test_the_keys_about_a_case_go_when_it_is_erased(client: httpx.Client, services: Any) -> None:
    case = client.post("/cases", json=case_json(), headers=KEY).json()["id"]
    client.post(f"/cases/{case}/reviews", json={"verdict": "unsure"}, headers={"Idempotency-Key": "r"})
    client.delete(f"/cases/{case}").raise_for_status()
    with services.ground.database.reading() as session:
        assert list(session.scalars(select(IdempotencyKeyRow))) == []
    assert client.post("/cases", json=case_json(), headers=KEY).json()["id"] != case


def test_a_key_expires_and_is_swept(client: httpx.Client, services: Any) -> None:
    case = client.post("/cases", json=case_json(), headers=KEY).json()["id"]
    days = timedelta(days=services.ground.settings.idempotency_days, seconds=1)
    with services.ground.database.transaction() as session:
        row = session.scalars(select(IdempotencyKeyRow)).one()
        row.created_at -= days
    assert client.post("/cases", json=case_json(external_id="acc-2"), headers=KEY).json()["id"] != case
    assert IdempotencyKeys(services.ground).sweep() == 0, "the key is the newer request's now"
    with services.ground.database.transaction() as session:
        row = session.scalars(select(IdempotencyKeyRow)).one()
        row.created_at -= days
    assert IdempotencyKeys(services.ground).sweep() == 1
