"""A worker carries runs out, on either database; what it cannot carry out it tells."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.settings import Settings
from api.training.job import TrainingJob
from api.training.record import RunRecord
from api.training.worker import Worker
from clinical_mm.case import Case
from clinical_mm.phantom import draw

SMALLEST = {
    "training.epochs": 1,
    "training.judged_cases": 0,
    "alignment.epochs": 1,
    "modalities.imaging.size": [32, 32],
    "modalities.text": {"model": "minilm", "max_tokens": 64, "stride": 16, "layers": 1, "frozen": True},
}


@contextmanager
def working(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """A worker process; stopped as an operator stops it."""
    environment = {
        **os.environ,
        "CLINICAL_MM_WORKSPACE": str(settings.workspace),
        "CLINICAL_MM_DATABASE_URL": settings.database_url,
    }
    process = subprocess.Popen([sys.executable, "-m", "api.cli", "worker"], env=environment)
    try:
        yield process
    finally:
        process.terminate()
        assert process.wait(timeout=30) == 0


def ended(client: httpx.Client, run: str, seconds: float = 240) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found: dict[str, Any] = client.get(f"/training-runs/{run}").raise_for_status().json()
        if found["state"] not in {"queued", "running"}:
            return found
        time.sleep(0.1)
    raise TimeoutError(found)


@pytest.fixture
def labelled(services: Any) -> list[Case]:
    """Cases to learn from."""
    admin = services.access.operator("default")
    cases = [replace(d.case, external_id=f"acc-{n}") for n, d in enumerate(draw(40, 3))]
    for case in cases:
        services.cases.submit_case(admin, case)
    return cases


@pytest.mark.slow
def test_a_queued_run_becomes_a_model_that_answers(
    client: httpx.Client, settings: Settings, labelled: list[Case], case: str
) -> None:
    run = client.post("/training-runs", json={"config": "small", "set": SMALLEST}).json()["id"]
    with working(settings):
        told = ended(client, run)
        assert (told["state"], told["error"]) == ("succeeded", None), told
        assert told["progress"]["fraction"] == 1
        assert client.post(f"/cases/{case}/predictions").json()["model"] == told["model"]
        [model] = client.get("/models").json()["items"]
        assert (model["id"], model["run_id"], model["serving"]) == (told["model"], run, True)
        log = client.get(f"/training-runs/{run}/log").text
        assert re.search(r"^20[-\d]+T[:\d]+Z epoch 1 of 1, train loss \d\.\d+", log, re.MULTILINE), log
        assert [line.split(" ")[1] for line in log.splitlines()][-1] == "saving"
        left = wait_until_tidy(settings.runs_folder / run)
        another = {"config": "small", "set": SMALLEST, "start_from": told["model"]}
        second = ended(client, client.post("/training-runs", json=another).json()["id"])
        account = client.get(f"/models/{second['model']}").json()["card"]["started_from"]
        assert account["sha256"] == model["weights_sha256"]
        assert (account["reused"], account["new"]) == (["aligner", "encoders", "fusion", "head"], [])
    held = json.loads((settings.runs_folder / run / "labels.json").read_text(encoding="utf-8"))
    assert held.pop(case) is None, "alignment learned from the case without a label too"
    assert sorted(map(sorted, held.values())) == sorted(sorted(c.diagnoses or ()) for c in labelled)
    assert labelled[0].patient.id not in left, "no copy of a case may outlive the case"


def wait_until_tidy(folder: Path) -> str:
    """All text that stays of a run."""
    deadline = time.monotonic() + 20
    while (folder / "snapshot").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    texts = [path for path in folder.rglob("*") if path.is_file() and path.suffix in {".json", ".jsonl", ".log"}]
    assert not (folder / "snapshot").exists()
    assert not (folder / "out" / "bundle").exists()
    return "".join(path.read_text(encoding="utf-8") for path in texts)


@pytest.mark.slow
@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_it_tells_why_it_cannot_train_and_ends_what_it_is_told_to_end(
    client: httpx.Client, settings: Settings, services: Any
) -> None:
    hopeless = client.post("/training-runs", json={"config": "small"}).json()["id"]
    with working(settings):
        told = ended(client, hopeless)
        assert told["state"] == "failed"
        assert "case" in told["error"]
        assert "Traceback" not in told["error"]
        assert client.get("/models").json()["items"] == []

        admin = services.access.operator("default")
        for number, drawn in enumerate(draw(40, 3)):
            services.cases.submit_case(admin, replace(drawn.case, external_id=f"acc-{number}"))
        endless = {**SMALLEST, "training.epochs": 100_000, "training.patience": 100_000}
        run = client.post("/training-runs", json={"config": "small", "set": endless}).json()["id"]
        wait_for_epoch(client, run)
        asked = time.monotonic()
        assert client.post(f"/training-runs/{run}/cancel").status_code == 202
        assert ended(client, run, 30)["state"] == "cancelled"
        assert time.monotonic() - asked < 4, "two seconds, and room for a busy machine"
        wait_until_tidy(settings.runs_folder / run)


def wait_for_epoch(client: httpx.Client, run: str) -> None:
    for _ in range(900):
        told = client.get(f"/training-runs/{run}").json()
        assert told["state"] in {"queued", "running"}, told
        if (told["progress"] or {}).get("epoch", 0) >= 2:
            return
        time.sleep(0.1)
    raise TimeoutError(told)


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_a_run_that_meets_what_nobody_foresaw_is_told_failed(
    client: httpx.Client, settings: Settings, services: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: TrainingJob) -> None:
        raise KeyError("nobody foresaw this")

    monkeypatch.setattr(TrainingJob, "freeze", broken)
    run = client.post("/training-runs", json={"config": "small"}).json()["id"]
    with worker_here(settings):
        told = ended(client, run, 30)
    assert told["state"] == "failed"
    assert "log" in told["error"]
    assert "foresaw" not in told["error"]


@contextmanager
def worker_here(settings: Settings) -> Iterator[None]:
    """A worker in a thread of this process, so that a test can break it."""
    worker, stop = Worker(settings), threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=10)
        worker.close()


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_training_that_is_stopped_along_with_its_worker_has_not_failed(
    client: httpx.Client, services: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
) -> None:
    run = client.post("/training-runs", json={"config": "small"}).json()["id"]
    job = TrainingJob(services.ground, services.cases, services.models, services.promotions, run)
    stops_itself = [
        sys.executable,
        "-c",
        f"import os, signal; signal.signal({int(number)}, signal.SIG_DFL); os.kill(os.getpid(), {int(number)})",
    ]
    monkeypatch.setattr(TrainingJob, "_command", lambda *_: stops_itself)
    verdicts: list[str] = []
    thread = threading.Thread(target=lambda: verdicts.append(job.train()), daemon=True)
    thread.start()
    time.sleep(1.5)
    assert verdicts == [], "whoever stops a whole process tree has this long to reach the worker too"
    thread.join(timeout=10)
    assert verdicts[0].startswith("failed: the training process was ended by signal")


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_training_goes_on_while_the_database_is_away(
    client: httpx.Client, services: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.exc import OperationalError

    def away(_: RunRecord) -> None:
        raise OperationalError("SELECT", {}, RuntimeError("server closed the connection"))

    run = client.post("/training-runs", json={"config": "small"}).json()["id"]
    job = TrainingJob(services.ground, services.cases, services.models, services.promotions, run)
    monkeypatch.setattr(TrainingJob, "_command", lambda *_: [sys.executable, "-c", "import time; time.sleep(1)"])
    monkeypatch.setattr(RunRecord, "read", away)
    assert job.train() == "succeeded"


@pytest.mark.slow
@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_the_tracking_server_hears_which_run_it_is_told_of(
    client: httpx.Client, services: Any, labelled: list[Case], tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    server = f"sqlite:///{tmp_path / 'mlflow.db'}"
    mlflow = MlflowClient(server)
    mlflow.create_experiment("clinical_mm", artifact_location=(tmp_path / "artefacts").as_uri())
    services.ground.settings.mlflow_tracking_uri = server
    quick = {"training.epochs": 1, "training.judged_cases": 0, "modalities": {"vitals": {"width": 16}}}
    run = client.post("/training-runs", json={"config": "small", "set": quick}).json()["id"]
    job = TrainingJob(services.ground, services.cases, services.models, services.promotions, run)
    assert server not in " ".join(job._command(tmp_path)), "anyone may read a command line"
    job.freeze()
    assert job.train() == "succeeded"
    [told] = mlflow.search_runs([mlflow.get_experiment_by_name("clinical_mm").experiment_id])
    assert (told.info.status, told.data.tags["clinical_mm.run"]) == ("FINISHED", run)
    assert told.data.metrics["validation_loss"] > 0
    job.tidy()
    left = wait_until_tidy(job.folder)
    assert told.info.run_id in left, "what goes on in the same run after a restart"
