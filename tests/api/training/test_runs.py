"""Training runs as their callers see them: asked for, watched, cancelled."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.training.job import TrainingJob
from api.training.record import RunRecord
from api.training.service import waiting_runs
from api.training.watching import WATCHERS
from tests.api.stored import Stored, state_of

ClientAs = Callable[[str], httpx.Client]


def started(client: httpx.Client, **wanted: Any) -> dict[str, Any]:
    return dict(client.post("/training-runs", json={"config": "small", **wanted}).raise_for_status().json())


def test_a_run_is_queued_and_can_be_watched(client_as: ClientAs) -> None:
    trainer = client_as("trainer")
    answer = trainer.post(
        "/training-runs", json={"config": "small", "set": {"training.epochs": 2}, "filter": {"q": "cough"}}
    )
    assert answer.status_code == 202, answer.text
    run = answer.json()
    assert answer.headers["Location"] == f"/v1/training-runs/{run['id']}"
    assert (run["state"], run["progress"], run["error"], run["model"]) == ("queued", None, None, None)
    assert (run["config"], run["set"], run["filter"]) == ("small", {"training.epochs": 2}, {"q": "cough"})
    assert "test trainer" in run["created_by"]
    viewer = client_as("viewer")
    assert viewer.get(f"/training-runs/{run['id']}").json() == run
    assert viewer.get("/training-runs").json() == {"items": [run]}


def test_runs_are_listed_newest_first(client: httpx.Client) -> None:
    ids = [started(client)["id"] for _ in range(3)]
    assert [run["id"] for run in client.get("/training-runs").json()["items"]] == ids[::-1]


@pytest.mark.parametrize(
    "wanted",
    [
        {"config": "none-such"},
        {"config": "../catalogue"},
        {"config": "small", "set": {"training.epochs": 0}},
        {"config": "small", "set": {"training.epochs": "many"}},
        {"config": "small", "set": {"training.pace": 1}},
        {"config": "small", "set": {"modalities": {}}},
        {"config": "small", "set": {"training": None}},
        {"config": "small", "set": {"description.more": 1}},
        {"config": "small", "filter": {"since": "yesterday"}},
        {"config": "small", "speed": "fast"},
    ],
)
@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_what_cannot_be_trained_is_422_at_once(client: httpx.Client, stored: Stored, wanted: dict[str, Any]) -> None:
    before = state_of(stored)
    answer = client.post("/training-runs", json=wanted)
    assert (answer.status_code, answer.headers["Content-Type"]) == (422, "application/problem+json"), answer.text
    assert state_of(stored) == before


def test_a_run_may_start_from_a_model_of_the_same_project(
    client: httpx.Client, client_as: ClientAs, services: Any, model: str, stored: Stored
) -> None:
    assert started(client)["start_from"] is None
    run = started(client, start_from=model)
    assert run["start_from"] == model
    job = TrainingJob(services.ground, services.cases, services.models, services.promotions, run["id"])
    command = job._command(Path("out"))
    assert command[command.index("--start-from") + 1] == str(services.models.bundle_folder(model))
    before = state_of(stored)
    for caller, wanted in ((client_as("stranger"), model), (client, "model_none"), (client, "")):
        assert caller.post("/training-runs", json={"config": "small", "start_from": wanted}).status_code == 404
    assert state_of(stored) == before


def test_a_number_that_no_database_keeps_is_refused(client: httpx.Client, stored: Stored) -> None:
    before = state_of(stored)
    body = b'{"config": "small", "set": {"training.learning_rate": 1e999}}'
    answer = client.post("/training-runs", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json"), answer.text
    assert state_of(stored) == before


def test_a_queued_run_is_cancelled_at_once_and_only_once(client: httpx.Client, services: Any) -> None:
    run = started(client)["id"]
    answer = client.post(f"/training-runs/{run}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (202, "cancelled")
    assert answer.json()["finished_at"] is not None
    assert client.post(f"/training-runs/{run}/cancel").status_code == 409
    assert waiting_runs(services.ground) == []
    actions = [
        e["action"] for e in client.get("/audit", params={"object_id": run, "result": "changed"}).json()["items"]
    ]
    assert actions == ["training.cancel", "training.start"]


def test_only_trainers_of_the_project_train(client: httpx.Client, client_as: ClientAs, stored: Stored) -> None:
    run = started(client)["id"]
    before = state_of(stored)
    clinician, stranger = client_as("clinician"), client_as("stranger")
    assert clinician.post("/training-runs", json={"config": "small"}).status_code == 403
    assert clinician.post(f"/training-runs/{run}/cancel").status_code == 403
    assert stranger.get(f"/training-runs/{run}").status_code == 404
    assert stranger.post(f"/training-runs/{run}/cancel").status_code == 404
    assert stranger.get("/training-runs").json() == {"items": []}
    assert state_of(stored) == before


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
@pytest.mark.parametrize("end", ["cancelled", "fail", "succeed"])
def test_a_run_that_has_ended_stays_as_it_ended(
    client: httpx.Client, services: Any, model: str, stored: Stored, end: str
) -> None:
    record = RunRecord(services.ground, started(client)["id"])
    assert record.begin()
    reason = {"cancelled": (), "fail": ("no cases",), "succeed": (model,)}[end]
    getattr(record, end)(*reason)
    before = state_of(stored)
    record.fail("too late")
    record.cancelled()
    record.succeed(model)
    record.progress({"stage": "saving"})
    assert not record.begin()
    assert state_of(stored) == before


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_a_reason_is_one_line(client: httpx.Client, services: Any) -> None:
    run = started(client)["id"]
    RunRecord(services.ground, run).fail("out of memory:\n  lower\n\ttraining.batch_size")
    assert client.get(f"/training-runs/{run}").json()["error"] == "out of memory: lower training.batch_size"


def test_a_run_is_followed_as_server_sent_events_until_it_has_ended(client_as: ClientAs, services: Any) -> None:
    trainer, viewer = client_as("trainer"), client_as("viewer")
    run = started(trainer)["id"]
    told: list[dict[str, Any]] = []
    with viewer.stream("GET", f"/training-runs/{run}/events") as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if not line.startswith("data: "):
                continue
            told.append(json.loads(line.removeprefix("data: ")))
            if len(told) == 1:
                RunRecord(services.ground, run).begin()
            elif told[-1]["state"] == "running" and not told[-1]["progress"]:
                trainer.post(f"/training-runs/{run}/cancel").raise_for_status()
                RunRecord(services.ground, run).cancelled()
    assert [t["state"] for t in told] == ["queued", "running", "cancelled"]
    assert told[-1] == viewer.get(f"/training-runs/{run}").json()
    assert client_as("stranger").get(f"/training-runs/{run}/events").status_code == 404


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_many_who_watch_leave_threads_for_the_rest(client: httpx.Client) -> None:
    run = started(client)["id"]
    with ExitStack() as watching:
        for _ in range(WATCHERS):
            stream = watching.enter_context(client.stream("GET", f"/training-runs/{run}/events"))
            assert next(stream.iter_lines()) == "event: run"
        told = client.get(f"/training-runs/{run}/events").text
        assert told.startswith("retry: 3000\nevent: run\n")
        assert told.count("data: ") == 1
        client.post(f"/training-runs/{run}/cancel").raise_for_status()


def test_the_end_of_a_run_s_log_is_read_by_those_who_train(
    client_as: ClientAs, services: Any, client: httpx.Client
) -> None:
    run = started(client)["id"]
    assert client_as("trainer").get(f"/training-runs/{run}/log").text == ""
    folder = services.ground.settings.runs_folder / run / "out"
    folder.mkdir(parents=True)
    (folder / "training.log").write_text("x" * 100_000 + "\nthe disk is full\n", encoding="utf-8")
    answer = client_as("trainer").get(f"/training-runs/{run}/log")
    assert answer.text.endswith("the disk is full\n")
    assert len(answer.text) == 65_536
    assert client_as("viewer").get(f"/training-runs/{run}/log").status_code == 403
    assert client_as("stranger").get(f"/training-runs/{run}/log").status_code == 404
