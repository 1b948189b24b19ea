"""A worker process carries bulk runs out; killed in their midst and started again it goes on, and doubles nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any

import httpx
import pytest

from api.settings import Settings
from tests.api.bulk.test_imports import lines, sent
from tests.api.conftest import case_json, png

LINES = 120


def worker(settings: Settings) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "CLINICAL_MM_WORKSPACE": str(settings.workspace),
        "CLINICAL_MM_DATABASE_URL": settings.database_url,
        "CLINICAL_MM_WORKER_ID": "one",
    }
    return subprocess.Popen([sys.executable, "-m", "api.cli", "worker"], env=environment, start_new_session=True)


def wait_for(client: httpx.Client, path: str, ready: Any, seconds: float = 90) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found: dict[str, Any] = client.get(path).raise_for_status().json()
        if ready(found):
            return found
        time.sleep(0.02)
    raise TimeoutError(found)


@pytest.mark.slow
def test_an_import_survives_kill_9_of_its_worker(client: httpx.Client, settings: Settings) -> None:
    cases = ({**case_json(external_id=..., patient={"id": f"p-{n}"}), "files": [f"{n % 7}.png"]} for n in range(LINES))
    files = {f"{n}.png": png(n, 256) for n in range(7)}
    run = client.post("/case-imports", **sent(lines(*cases), **files)).json()["id"]
    process = worker(settings)
    try:
        wait_for(client, f"/case-imports/{run}", lambda told: (told["progress"] or {"done": 0})["done"] > 0)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert client.get(f"/case-imports/{run}").json()["state"] == "running"
        process = worker(settings)
        told = wait_for(client, f"/case-imports/{run}", lambda told: told["state"] not in {"queued", "running"})
    finally:
        process.terminate()
        process.wait(timeout=10)
    assert (told["state"], told["progress"]["counts"]) == ("succeeded", {"accepted": LINES})
    patients: list[str] = []
    page: dict[str, Any] = {"next_cursor": None}
    while page["next_cursor"] or not patients:
        cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else {}
        page = client.get("/cases", params={"limit": 100, **cursor}).json()
        patients += [case["patient"]["id"] for case in page["items"]]
    assert sorted(patients) == sorted(f"p-{n}" for n in range(LINES))
