"""Training runs over HTTP: asked for, watched, cancelled. What a worker does is tested on real processes elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.training.service import RunRecord


def test_a_run_is_accepted_queued_and_found_again(client: httpx.Client) -> None:
    answer = client.post("/training-runs", json={"config": "small", "set": {"training.epochs": 2}})
    assert answer.status_code == 202
    run = answer.json()
    assert answer.headers["Location"] == f"/v1/training-runs/{run['id']}"
    assert (run["state"], run["progress"], run["set"]) == ("queued", None, {"training.epochs": 2})
    assert client.get(f"/training-runs/{run['id']}").json() == run
    assert client.get("/training-runs").json()["items"] == [run]


def test_a_queued_run_is_cancelled_at_once_and_only_once(client: httpx.Client) -> None:
    run = client.post("/training-runs", json={"config": "small"}).json()["id"]
    assert client.post(f"/training-runs/{run}/cancel").json()["state"] == "cancelled"
    assert client.post(f"/training-runs/{run}/cancel").status_code == 409


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"config": "enormous"}, "known: "),
        ({"config": "../../etc/passwd"}, "config"),
        ({"config": "small", "set": {"training.epochs": 0}}, "training.epochs"),
        ({"config": "small", "set": {"training.speed": 11}}, "training.speed"),
        ({"config": "small", "filter": {"colour": "blue"}}, "colour"),
        ({"config": "small", "when": "now"}, "when"),
    ],
)
def test_a_wrong_request_says_what_is_wrong(client: httpx.Client, body: dict[str, Any], said: str) -> None:
    answer = client.post("/training-runs", json=body)
    assert answer.status_code == 422
    assert said in answer.text
    assert client.get("/training-runs").json()["items"] == []


def test_trainers_train_and_strangers_see_nothing(client_as: Callable[[str], httpx.Client]) -> None:
    assert client_as("clinician").post("/training-runs", json={"config": "small"}).status_code == 403
    run = client_as("trainer").post("/training-runs", json={"config": "small"}).json()["id"]
    assert client_as("stranger").get(f"/training-runs/{run}").status_code == 404
    assert client_as("stranger").post(f"/training-runs/{run}/cancel").status_code == 404


def test_a_run_that_has_ended_changes_no_more(client: httpx.Client, services: Any) -> None:
    run = client.post("/training-runs", json={"config": "small"}).json()["id"]
    record = RunRecord(services.ground, run)
    assert record.begin()
    record.fail("out of\nmemory")
    record.progress({"stage": "training"})
    record.succeed("model_none")
    ended = client.get(f"/training-runs/{run}").json()
    assert (ended["state"], ended["error"], ended["progress"], ended["model"]) == (
        "failed",
        "out of memory",
        None,
        None,
    )
    assert not record.begin()


def test_a_run_registers_one_model_however_often_its_last_step_runs(
    client: httpx.Client, services: Any, trained_bundle: Path
) -> None:
    run = client.post("/training-runs", json={"config": "small"}).json()["id"]
    operator = services.access.operator("default")
    first, again = (services.models.register(operator, run, trained_bundle, "small").id for _ in range(2))
    assert first == again
    assert [m["run_id"] for m in client.get("/models").json()["items"]] == [run]
