"""``kill -9`` of a real server: nothing acknowledged is lost, nothing is half stored, training goes on."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from clinical_mm.phantom import draw
from tests.whole.server import Server, clinical_mm, create_key, wait_for_run

pytestmark = pytest.mark.slow
MOMENTS = 4


def payloads(count: int, seed: int) -> list[tuple[str, bytes]]:
    return [(d.case.external_id or "", d.case.images[0].read()) for d in draw(count, seed) if d.case.images]


def upload(url: str, key: str, name: str, dicom: bytes) -> dict[str, Any] | None:
    """POST a case; None where no answer came."""
    case = f'{{"external_id": "{name}", "patient": {{"id": "{name}"}}}}'
    try:
        answer = httpx.post(
            f"{url}/v1/cases",
            data={"case": case},
            files=[("files", (f"{name}.dcm", dicom))],
            headers={"Authorization": f"Bearer {key}"},
            timeout=30,
        )
    except httpx.TransportError:
        return None
    return dict(answer.raise_for_status().json())


def test_kill_9_during_uploads_loses_nothing_acknowledged_and_leaves_nothing_half(tmp_path: Path) -> None:
    workspace, chance = tmp_path / "workspace", random.Random(7)
    clinical_mm("db", "upgrade", workspace=workspace)
    key = create_key(workspace, "clinician")
    sent: dict[str, str] = {}
    acknowledged: dict[str, str] = {}
    for moment in range(MOMENTS):
        server = Server(workspace, {"CLINICAL_MM_EMBEDDED_WORKER": "false"})
        server.start()
        files = payloads(60, seed=moment)
        sent |= {name: hashlib.sha256(data).hexdigest() for name, data in files}
        killer = threading.Timer(chance.uniform(0.4, 1.6), server.kill)
        killer.start()
        with ThreadPoolExecutor(4) as pool:
            waiting = [pool.submit(upload, server.url, key, *file) for file in files]
            for answer in (future.result() for future in waiting):
                if answer is not None:
                    acknowledged[answer["id"]] = sent[answer["external_id"]]
        killer.join()
    assert acknowledged, "no upload was answered before a kill: the test proved nothing"
    assert len(acknowledged) < len(sent), "every upload was answered: no kill came in the middle"

    with Server(workspace, {"CLINICAL_MM_EMBEDDED_WORKER": "false"}) as server, server.client(key) as client:
        stored = {case["id"]: case for case in every_case(client)}
        assert set(acknowledged) <= set(stored)
        contents = {i: client.get(f"/cases/{i}/files/0").raise_for_status().content for i in stored}
        assert {i: hashlib.sha256(data).hexdigest() for i, data in contents.items()} == {
            i: sent[case["external_id"]] for i, case in stored.items()
        }
        blobs = [p for p in (workspace / "blobs").rglob("*") if p.is_file()]
        assert {p.parent.name + p.name for p in blobs} == {case["files"][0]["sha256"] for case in stored.values()}


def every_case(client: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = client.get("/cases", params={"limit": 200, **cursor}).raise_for_status().json()
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with synthetic cases and a serving model."""
    workspace = tmp_path_factory.mktemp("demo") / "workspace"
    clinical_mm("demo", "--cases", "40", "--no-serve", workspace=workspace)
    return workspace


def started(client: httpx.Client, epochs: int) -> str:
    changes = {"training.epochs": epochs, "training.patience": epochs, "training.judged_cases": 0}
    answer = client.post("/training-runs", json={"config": "small", "set": changes}).raise_for_status()
    return str(answer.headers["Location"])


def wait_until_training(client: httpx.Client, location: str) -> None:
    for _ in range(600):
        run = client.get(location.removeprefix("/v1")).raise_for_status().json()
        assert run["state"] in {"queued", "running"}, run
        if run["state"] == "running" and (run["progress"] or {}).get("epoch", 0) >= 2:
            return
        time.sleep(0.1)
    raise TimeoutError(f"never trained: {run}")


def answer_of(client: httpx.Client) -> Any:
    case = client.get("/cases", params={"labelled": False}).json()["items"][0]["id"]
    made = client.post(f"/cases/{case}/predictions").raise_for_status().json()
    return made["model"], made["diagnoses"]


def test_kill_9_during_training_is_resumed_and_the_serving_model_unchanged(demo: Path) -> None:
    key = create_key(demo, "trainer")
    server = Server(demo)
    server.start()
    with server.client(key) as client:
        before = answer_of(client)
        location = started(client, epochs=12)
        wait_until_training(client, location)
    server.kill()
    assert_nothing_left(demo)

    with Server(demo) as again, again.client(key) as client:
        assert answer_of(client) == before
        run = wait_for_run(client, location)
        assert run["state"] == "succeeded", run
        assert answer_of(client) == before
        models = client.get("/models").json()["items"]
        assert sum(m["run_id"] == run["id"] for m in models) == 1


def test_killing_the_parent_alone_leaves_no_worker_and_no_training_behind(demo: Path) -> None:
    key = create_key(demo, "trainer")
    server = Server(demo)
    server.start()
    with server.client(key) as client:
        location = started(client, epochs=200)
        wait_until_training(client, location)
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()
    assert_nothing_left(demo)

    with Server(demo) as again, again.client(key) as client:
        client.post(f"{location.removeprefix('/v1')}/cancel").raise_for_status()
        assert wait_for_run(client, location, seconds=60)["state"] == "cancelled"


def test_a_running_training_is_cancelled_within_seconds(demo: Path) -> None:
    key = create_key(demo, "trainer")
    with Server(demo) as server, server.client(key) as client:
        location = started(client, epochs=200)
        wait_until_training(client, location)
        client.post(f"{location.removeprefix('/v1')}/cancel").raise_for_status()
        assert wait_for_run(client, location, seconds=30)["state"] == "cancelled"
        assert client.post(f"{location.removeprefix('/v1')}/cancel").status_code == 409


def test_a_training_stopped_together_with_the_service_has_not_failed_and_goes_on(demo: Path) -> None:
    key = create_key(demo, "trainer")
    server = Server(demo)
    server.start()
    with server.client(key) as client:
        location = started(client, epochs=200)
        wait_until_training(client, location)
    assert server.process is not None
    os.killpg(server.process.pid, signal.SIGTERM)  # a service manager tells every process of the tree at once
    assert server.process.wait(timeout=30) == 0
    assert_nothing_left(demo)

    with Server(demo) as again, again.client(key) as client:
        wait_until_training(client, location)
        client.post(f"{location.removeprefix('/v1')}/cancel").raise_for_status()
        assert wait_for_run(client, location, seconds=60)["state"] == "cancelled"


def test_sigterm_stops_cleanly(demo: Path) -> None:
    server = Server(demo)
    server.start()
    assert server.stop() == 0
    assert_nothing_left(demo)


def assert_nothing_left(workspace: Path) -> None:
    """Within five seconds no process works on this workspace any more."""
    deadline = time.monotonic() + 5
    while True:
        left = [p.info["cmdline"] for p in psutil.process_iter(["cmdline"]) if works_on(p, workspace)]
        if not left or time.monotonic() > deadline:
            assert left == []
            return
        time.sleep(0.1)


def works_on(process: psutil.Process, workspace: Path) -> bool:
    try:
        return process.pid != os.getpid() and process.environ().get("CLINICAL_MM_WORKSPACE") == str(workspace)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
