"""``serve`` as one process tree: what it refuses, how it starts over, how it stops."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from api.serve import _wait_for_port, run
from clinical_mm.errors import InvalidConfig
from clinical_mm.phantom import draw
from tests.api.conftest import BareSettings
from tests.whole.server import Server, clinical_mm, create_key


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tmp_path / "workspace"


@pytest.fixture
def server(workspace: Path) -> Iterator[Server]:
    """A server on a workspace that did not exist before."""
    with Server(workspace) as started:
        yield started


def processes(server: Server) -> list[psutil.Process]:
    assert server.process is not None
    return psutil.Process(server.process.pid).children(recursive=True)


def job_workers(server: Server, count: int = 1) -> list[psutil.Process]:
    """The job workers of a server, as soon as there are so many."""
    deadline = time.monotonic() + 30
    while True:
        found = [process for process in processes(server) if "worker" in process.cmdline()]
        if len(found) == count or time.monotonic() > deadline:
            assert len(found) == count
            return found
        time.sleep(0.1)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.org"])
def test_without_authentication_only_the_machine_itself_is_served(workspace: Path, host: str) -> None:
    settings = BareSettings(workspace=workspace, auth="off")
    with pytest.raises(InvalidConfig, match="CLINICAL_MM_AUTH=off is refused"):
        run(settings, host=host, port=0, threads=1)
    assert not workspace.exists()


def test_a_port_that_another_program_has_is_refused_before_anything_is_made(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.serve.PORT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(InvalidConfig, match=rf"port {taken} on 127\.0\.0\.1 cannot be had: .*serve --port N"):
            run(BareSettings(workspace=workspace), host="127.0.0.1", port=taken, threads=1)
    assert not workspace.exists()


def test_a_port_that_a_killed_server_still_holds_for_a_moment_is_waited_for() -> None:
    other = socket.create_server(("127.0.0.1", 0))
    taken = other.getsockname()[1]
    letting_go = threading.Timer(0.5, other.close)
    letting_go.start()
    _wait_for_port(taken, "127.0.0.1")
    letting_go.join()


@pytest.mark.slow
def test_a_fresh_workspace_is_migrated_served_and_announced_in_one_line(server: Server) -> None:
    assert httpx.get(f"{server.url}/readyz").status_code == 200
    assert httpx.get(f"{server.url}/v1/cases").status_code == 401
    lines = server.printed().splitlines()
    assert sum(server.url in line for line in lines) == 1


@pytest.mark.slow
def test_what_a_crash_left_is_swept_before_it_serves(workspace: Path) -> None:
    clinical_mm("db", "upgrade", workspace=workspace)
    orphan = workspace / "blobs" / "ab" / ("c" * 62)
    unfinished = workspace / "blobs" / ".incoming" / "half"
    for path in (orphan, unfinished):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"left")
    with Server(workspace, {"CLINICAL_MM_EMBEDDED_WORKER": "false"}) as server:
        assert not orphan.exists()
        assert not unfinished.exists()
        assert [p for p in processes(server) if "worker" in p.cmdline()] == []


@pytest.mark.slow
def test_a_server_that_swept_as_it_started_still_reads_what_is_stored(workspace: Path) -> None:
    alone = {"CLINICAL_MM_EMBEDDED_WORKER": "false"}
    [drawn] = draw(1, seed=3)
    film = drawn.case.images[0].read()
    with Server(workspace, alone) as first, first.client(create_key(workspace, "clinician")) as client:
        sent = client.post(
            "/cases", data={"case": '{"patient": {"id": "P-1"}}'}, files=[("files", ("film.dcm", film))]
        ).raise_for_status()
    orphan = workspace / "blobs" / "ab" / ("c" * 62)
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_bytes(b"left")
    with Server(workspace, alone) as again, again.client(create_key(workspace, "viewer")) as client:
        assert not orphan.exists()
        assert client.get(f"/cases/{sent.json()['id']}/files/0", timeout=30).raise_for_status().content == film


@pytest.mark.slow
def test_a_job_worker_that_dies_is_replaced_and_the_service_does_not_notice(server: Server) -> None:
    [first] = job_workers(server)
    first.kill()
    psutil.wait_procs([first], timeout=5)
    assert httpx.get(f"{server.url}/healthz").status_code == 200
    [second] = job_workers(server)
    assert second.pid != first.pid


FORKS_WHILE_IT_SPAWNS = """
import os, threading, time
from api.serve import spawn

def fork_web_workers():
    for _ in range(150):
        if os.fork() == 0:
            time.sleep(20)
            os._exit(0)

threading.Thread(target=fork_web_workers, daemon=True).start()
for _ in range(150):
    spawn(["true"]).wait()
print("spawned", flush=True)
os.killpg(0, 9)
"""


@pytest.mark.slow
def test_the_job_worker_starts_even_while_the_web_worker_is_forked() -> None:
    """Popen learns through a pipe that its child runs; a process forked meanwhile would hold that pipe open."""
    command = [sys.executable, "-c", FORKS_WHILE_IT_SPAWNS]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=15, start_new_session=True, check=False)
    assert "spawned" in printed.stdout


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("whole_group", [False, True])
def test_it_stops_within_seconds_however_it_is_told(server: Server, number: int, *, whole_group: bool) -> None:
    assert server.process is not None
    job_workers(server)
    family = processes(server)
    assert httpx.get(f"{server.url}/v1/cases").status_code == 401
    started = time.monotonic()
    if whole_group:  # Ctrl-C in a terminal, or a service manager
        os.killpg(server.process.pid, number)
    else:
        os.kill(server.process.pid, number)
    assert server.process.wait(timeout=15) == 0
    assert time.monotonic() - started < 8
    assert psutil.wait_procs(family, timeout=3)[1] == []
    assert "Traceback" not in server.printed()
    anchors = (server.workspace / "audit" / "anchors.jsonl").read_text()
    assert '"sequence":1' in anchors, "the trail is anchored at the end"
    assert list((server.workspace / "audit").glob("*.waiting")) == []


@pytest.mark.slow
def test_a_worker_whose_server_died_while_it_started_does_not_stay(workspace: Path) -> None:
    clinical_mm("db", "upgrade", workspace=workspace)
    server = Server(workspace)
    server.start()
    assert server.process is not None
    family = processes(server)
    server.process.kill()  # the job worker still imports its libraries
    server.process.wait()
    assert psutil.wait_procs(family, timeout=10)[1] == []
