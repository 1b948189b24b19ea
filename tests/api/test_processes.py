"""``serve`` with several web processes: they agree, are replaced one by one, and drain before they stop."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from api.ground.migrate import upgrade
from api.services import build
from clinical_mm.configs import config_folder
from clinical_mm.phantom import draw
from tests.api.conftest import BareSettings
from tests.whole.server import Server, create_key

pytestmark = pytest.mark.slow
TWO = {"CLINICAL_MM_PROCESSES": "2", "CLINICAL_MM_EMBEDDED_WORKER": "false"}


@dataclass(frozen=True)
class Ward:
    """A served workspace with two models and a case."""

    server: Server
    key: str
    models: tuple[str, str]
    case: str

    def call(self, method: str, path: str, **options: object) -> httpx.Response:
        """On a connection of its own, so that any of the processes may answer."""
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.request(method, f"{self.server.url}{path}", headers=headers, timeout=60, **options)  # type: ignore[arg-type]

    def answered_by(self) -> str:
        """The model that a prediction comes from."""
        return str(self.call("POST", f"/v1/cases/{self.case}/predictions").raise_for_status().json()["model"])

    def processes(self) -> set[int]:
        """Ids of the web processes."""
        assert self.server.process is not None
        return {child.pid for child in psutil.Process(self.server.process.pid).children()}


@pytest.fixture
def ward(tmp_path: Path, trained_bundle: Path) -> Iterator[Ward]:
    workspace = tmp_path / "workspace"
    settings = BareSettings(workspace=workspace)
    upgrade(settings)
    services = build(settings)
    operator = services.access.operator()
    first, second = (services.models.register(operator, None, trained_bundle, "tiny").id for _ in range(2))
    case = services.cases.submit_case(operator, next(iter(draw(1, 3))).case).id
    services.close()
    with Server(workspace, {**TWO, "CLINICAL_MM_DRAIN_S": "2"}) as server:
        ready(server)
        yield Ward(server, create_key(workspace, "admin"), (first, second), case)


def ready(server: Server) -> None:
    """Wait until a process whose model is loaded says so ten times in a row."""
    deadline, in_a_row = time.monotonic() + 300, 0
    while in_a_row < 10:
        assert time.monotonic() < deadline
        in_a_row = in_a_row + 1 if httpx.get(f"{server.url}/readyz", timeout=30).status_code == 200 else 0
        time.sleep(0.05)


def test_every_process_answers_with_a_model_as_soon_as_it_is_promoted_and_tells_of_all_requests(ward: Ward) -> None:
    first, second = ward.models
    assert len(ward.processes()) == 2
    assert {ward.answered_by() for _ in range(12)} == {first}
    ward.call("POST", f"/v1/models/{second}/promote", json={"reason": "for a test"}).raise_for_status()
    assert {ward.answered_by() for _ in range(12)} == {second}
    ward.call("POST", "/v1/models/rollback").raise_for_status()
    assert {ward.answered_by() for _ in range(12)} == {first}
    counts = {predictions_counted(ward) for _ in range(10)}
    assert counts == {36}


def predictions_counted(ward: Ward) -> int:
    route = r'route="/v1/cases/<id>/predictions",status="201"'
    found = re.findall(
        rf"^clinical_mm_request_seconds_count\{{.*{route}.*\}} (\S+)$", ward.call("GET", "/metrics").text, re.M
    )
    return sum(int(float(count)) for count in found)


@contextmanager
def traffic(calls: Sequence[Callable[[], httpx.Response]]) -> Iterator[tuple[list[int], list[str]]]:
    """Each call again and again in a thread of its own; gives the statuses, and whatever was no success."""
    stop, answered, failed = threading.Event(), list[int](), list[str]()

    def ask(call: Callable[[], httpx.Response]) -> None:
        while not stop.is_set():
            try:
                answer = call()
                answered.append(answer.raise_for_status().status_code)
            except httpx.HTTPStatusError as error:
                failed.append(f"{error}: {error.response.text}")
            except httpx.HTTPError as error:
                failed.append(repr(error))

    threads = [threading.Thread(target=ask, args=[call]) for call in calls]
    for thread in threads:
        thread.start()
    try:
        yield answered, failed
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_no_request_fails_while_the_processes_are_replaced(ward: Ward) -> None:
    before = ward.processes()
    assert ward.server.process is not None
    with ward.server.client(ward.key) as kept:
        calls = [
            lambda: ward.call("GET", "/v1/cases"),
            lambda: kept.get("/cases"),
            lambda: ward.call("POST", f"/v1/cases/{ward.case}/predictions"),
            lambda: ward.call("GET", "/readyz"),
        ]
        with traffic(calls) as (answered, failed):
            ward.server.process.send_signal(signal.SIGHUP)
            deadline = time.monotonic() + 300
            while ward.processes() & before or len(ward.processes()) != 2:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            seen = len(answered)
            while len(answered) < seen + 10:
                time.sleep(0.05)
    assert failed == []


def test_a_catalogue_that_cannot_be_read_leaves_the_old_processes_serving(tmp_path: Path) -> None:
    own = tmp_path / "catalogue.yaml"
    shutil.copy(config_folder() / "catalogue.yaml", own)
    with Server(tmp_path / "workspace", {**TWO, "CLINICAL_MM_CATALOGUE": str(own)}) as server:
        assert server.process is not None
        own.write_text("vitals: 7", encoding="utf-8")
        server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 120
        while "stay as they are" not in server.printed():
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert {httpx.get(f"{server.url}/healthz", timeout=10).status_code for _ in range(10)} == {200}


def test_told_to_stop_it_is_not_ready_first_and_answers_until_the_last_request_is_over(ward: Ward) -> None:
    assert ward.server.process is not None
    body = json.dumps({"patient": {"id": "late"}, "note": "Fever."}).encode()
    head = (
        f"POST /v1/cases HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {ward.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", ward.server.port), timeout=30) as slow:
        slow.sendall(head.encode() + body[:10])
        time.sleep(0.3)
        os.kill(ward.server.process.pid, signal.SIGTERM)
        time.sleep(0.5)
        draining = ward.call("GET", "/readyz")
        assert (draining.status_code, draining.json()["status"]) == (503, "draining")
        assert ward.call("GET", "/v1/cases").status_code == 200
        time.sleep(2.5)  # by now it listens no more
        with pytest.raises(httpx.ConnectError):
            ward.call("GET", "/healthz")
        slow.sendall(body[10:])
        assert slow.recv(64).startswith(b"HTTP/1.1 201")
    assert ward.server.process.wait(timeout=15) == 0
