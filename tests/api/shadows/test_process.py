"""A real worker lets a really trained shadow score; what a kill cuts off is caught up with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy import select

from api.settings import Settings
from api.shadows.tables import ShadowPredictionRow
from clinical_mm.bundle_layout import WEIGHTS
from tests.api.conftest import case_json

pytestmark = pytest.mark.slow


@contextmanager
def worker(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """A job worker of its own; whatever is left of it at the end is killed."""
    environment = {
        **os.environ,
        "CLINICAL_MM_WORKSPACE": str(settings.workspace),
        "CLINICAL_MM_DATABASE_URL": settings.database_url,
    }
    process = subprocess.Popen([sys.executable, "-m", "api.cli", "worker"], env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait(timeout=10)


def scorers(of: subprocess.Popen[bytes]) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(of.pid).children():
        with suppress(psutil.NoSuchProcess):
            if "api.shadows" in child.cmdline():
                found.append(child)
    return found


def wait_until(true: Callable[[], Any], seconds: float = 240) -> Any:
    """Long: on a busy machine a nice process has to wait."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := true():
            return found
        time.sleep(0.3)
    raise TimeoutError


def predict(client: httpx.Client, count: int) -> list[dict[str, Any]]:
    """Fresh cases and what the serving model really says of them."""
    made = []
    for _ in range(count):
        sent = case_json(external_id=..., diagnoses=..., patient={"id": f"p-{time.monotonic_ns()}"})
        case = client.post("/cases", json=sent).raise_for_status().json()["id"]
        made.append(client.post(f"/cases/{case}/predictions").raise_for_status().json())
    return made


def counts(client: httpx.Client, shadow: str) -> tuple[int, int]:
    found = client.get(f"/models/{shadow}/shadow").raise_for_status().json()
    assert (found["failed"], found["missed"], found["fault"]) == (0, 0, None), found
    return found["scored"], found["waiting"]


def test_after_kill_9_another_start_catches_up_and_each_score_is_there_once(
    client: httpx.Client, services: Any, settings: Settings, shadow: str
) -> None:
    made = predict(client, 20)
    with worker(settings) as first:
        wait_until(lambda: counts(client, shadow)[0])
        [scorer] = scorers(first)
        assert scorer.nice() >= 10, "whoever waits for an answer comes first"
        first.kill()
        wait_until(lambda: not scorer.is_running() or scorer.status() == psutil.STATUS_ZOMBIE, 5)
    made += predict(client, 3)
    assert counts(client, shadow)[1] >= 3
    with worker(settings):
        wait_until(lambda: counts(client, shadow) == (23, 0))
    with services.ground.database.reading() as session:
        stored = {row.prediction_id: row.result for row in session.scalars(select(ShadowPredictionRow))}
    assert len(stored) == 23
    for (
        prediction
    ) in made:  # the shadow is a copy of the serving model: it must say the same, to the three digits that are shown
        whispered = {d["code"]: d["probability"] for d in stored[prediction["id"]]["diagnoses"]}
        assert whispered == pytest.approx({d["code"]: d["probability"] for d in prediction["diagnoses"]}, abs=5.1e-4)


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_a_worker_stopped_as_an_operator_stops_it_takes_the_scoring_along(
    client: httpx.Client, settings: Settings, shadow: str
) -> None:
    predict(client, 1)
    with worker(settings) as running:
        wait_until(lambda: counts(client, shadow) == (1, 0))
        [scorer] = scorers(running)
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=10) == 0
        wait_until(lambda: not scorer.is_running() or scorer.status() == psutil.STATUS_ZOMBIE, 5)


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_a_shadow_that_is_broken_stops_no_answer_and_no_worker(
    client: httpx.Client, services: Any, settings: Settings, shadow: str
) -> None:
    path: Path = services.models.bundle_folder(shadow) / WEIGHTS
    path.unlink()  # a hard link to the bundle that other tests read
    path.write_bytes(b"no weights")
    [made] = predict(client, 1)
    with worker(settings) as running:
        told = wait_until(lambda: client.get(f"/models/{shadow}/shadow").json()["fault"])
        assert told == f"model {shadow} cannot be loaded: its bundle is damaged"
        [again] = predict(client, 1)
        assert again["diagnoses"] == made["diagnoses"]
        assert running.poll() is None
