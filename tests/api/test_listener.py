"""Slow and strange clients of the real server: nobody waits for them."""

from __future__ import annotations

import contextlib
import json
import socket
import statistics
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.api.conftest import case_json, png
from tests.whole.server import Server, create_key

pytestmark = pytest.mark.slow
THREADS, PATIENCE_S = 3, 2.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Three threads, so that a few clients could hold them all."""
    extra = {
        "CLINICAL_MM_EMBEDDED_WORKER": "false",
        "CLINICAL_MM_CLIENT_SECONDS": str(PATIENCE_S),
        "CLINICAL_MM_MAX_UPLOAD_MB": "8",
    }
    workspace = tmp_path_factory.mktemp("listener") / "workspace"
    with Server(workspace, extra, ("serve", "--threads", str(THREADS))) as started:
        yield started


@pytest.fixture(scope="module")
def key(server: Server) -> str:
    return create_key(server.workspace, "clinician")


def connect(server: Server, first: bytes = b"") -> socket.socket:
    opened = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    opened.sendall(first)
    return opened


def answer_of(opened: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of one answer."""
    with opened.makefile("rb") as stream:
        status = int(stream.readline().split()[1])
        headers = {}
        while (line := stream.readline()) not in {b"\r\n", b""}:
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        return status, headers, stream.read(int(headers.get("content-length", 0)))


def post(key: str, length: int, more: str = "") -> bytes:
    return (
        f"POST /v1/cases HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length}\r\n{more}\r\n"
    ).encode()


@contextlib.contextmanager
def dripping(sockets: list[socket.socket]) -> Iterator[None]:
    """A byte a tenth of a second on each."""
    over = threading.Event()

    def drip() -> None:
        while not over.wait(0.1):
            for one in sockets:
                with contextlib.suppress(OSError):
                    one.sendall(b"x")

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        for one in sockets:
            one.close()


def health_seconds(server: Server, count: int) -> list[float]:
    taken = []
    for _ in range(count):
        started = time.monotonic()
        assert httpx.get(f"{server.url}/healthz", timeout=30).status_code == 200
        taken.append(time.monotonic() - started)
    return taken


@pytest.mark.parametrize("stage", ["nothing", "half a head", "no body", "a slow upload", "no key"])
def test_slow_clients_keep_nobody_waiting(server: Server, key: str, stage: str) -> None:
    first = {
        "nothing": b"",
        "half a head": b"GET /v1/cases HTTP/1.1\r\nX-Slow: ",
        "no body": post(key, 60_000),
        "a slow upload": post(key, 4 * 2**20) + b" " * 70_000,
        "no key": post("cmm_wrong", 4 * 2**20) + b" " * 70_000,
    }[stage]
    with dripping([connect(server, first) for _ in range(60)]):
        assert statistics.quantiles(health_seconds(server, 30), n=20)[-1] < 1
        started = time.monotonic()
        assert httpx.get(f"{server.url}/v1/cases", headers={"Authorization": f"Bearer {key}"}).status_code == 200
        assert time.monotonic() - started < 2


@pytest.mark.parametrize("where", ["head", "body", "upload"])
def test_a_client_that_is_too_slow_is_told_so(server: Server, key: str, where: str) -> None:
    first = {"head": b"GET /v1/", "body": post(key, 1000) + b"{", "upload": post(key, 2**20) + b" " * 70_000}[where]
    opened = connect(server, first)
    started = time.monotonic()
    with dripping([opened]):
        status, headers, body = answer_of(opened)
    assert (status, headers["content-type"]) == (408, "application/problem+json")
    assert json.loads(body)["status"] == 408
    assert time.monotonic() - started < PATIENCE_S + 4


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"what is this\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nBad header\r\n\r\n", 400),
        (
            b"POST /v1/cases HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    ],
    ids=["no request", "a header without a name", "two lengths", "a long address"],
)
def test_what_is_no_request_is_answered_as_a_problem_that_quotes_nothing(
    server: Server, sent: bytes, status: int
) -> None:
    told, headers, body = answer_of(connect(server, sent))
    assert (told, headers["content-type"]) == (status, "application/problem+json")
    assert headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert json.loads(body)["detail"] == "this cannot be read as a request"


def test_more_uploads_at_once_than_threads_wait_in_line_and_are_told_when_it_is_too_long(
    server: Server, key: str
) -> None:
    """A large body in a trickle that is just fast enough holds the one thread that large bodies may have."""
    held = connect(server, post(key, 4 * 2**20) + b" " * 2**20)
    waiting = connect(server, post(key, 2**20) + b" " * 70_000)
    started = time.monotonic()
    status, headers, _ = answer_of(waiting)
    assert status == 503
    assert int(headers["retry-after"]) > 0
    assert time.monotonic() - started < PATIENCE_S + 3
    held.close()
    waiting.close()


def test_one_connection_serves_one_request_after_another(server: Server, key: str) -> None:
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {key}"}) as client:
        for number in range(3):
            sent = client.post("/v1/cases", json=case_json(external_id=f"one-after-another-{number}"))
            assert sent.status_code == 201
            assert client.get(sent.headers["Location"]).json()["external_id"] == f"one-after-another-{number}"


def test_requests_that_come_together_are_answered_in_turn(server: Server) -> None:
    opened = connect(server, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
    assert [answer_of(opened)[0]] == [200]
    opened.close()


def test_a_body_of_unknown_length_and_one_that_waits_to_be_asked_for_are_read(server: Server, key: str) -> None:
    body = json.dumps(case_json(external_id="in-chunks")).encode()
    chunked = httpx.post(
        f"{server.url}/v1/cases",
        content=iter([body[:40], body[40:]]),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    assert chunked.status_code == 201, chunked.text
    body = json.dumps(case_json(external_id="asked-for")).encode()
    opened = connect(server, post(key, len(body), "Expect: 100-continue\r\n"))
    assert answer_of(opened)[0] == 100
    opened.sendall(body)
    assert answer_of(opened)[0] == 201


def test_what_is_refused_before_its_body_is_read_reaches_a_client_that_sends_it_all_first(
    server: Server, key: str
) -> None:
    big = httpx.post(f"{server.url}/v1/cases", content=bytes(9 * 2**20), headers={"Authorization": f"Bearer {key}"})
    assert (big.status_code, big.headers["Content-Type"]) == (415, "application/problem+json")
    files = [("case", (None, json.dumps(case_json()))), ("files", ("a.png", png() + bytes(9 * 2**20)))]
    large = httpx.post(f"{server.url}/v1/cases", files=files, headers={"Authorization": f"Bearer {key}"})
    assert large.status_code == 413, large.text
    nobody = httpx.post(f"{server.url}/v1/cases", content=bytes(2**20))
    assert nobody.status_code == 401


def test_a_client_that_does_not_read_its_answer_is_let_go(server: Server, key: str) -> None:
    """Scripts of the documentation are public and larger than what the kernel takes for a client that reads nothing."""
    unread = [
        connect(server, b"GET /docs/swagger/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n")
        for _ in range(THREADS + 2)
    ]
    health_seconds(server, 3)
    headers = {"Authorization": f"Bearer {key}"}
    assert httpx.get(f"{server.url}/v1/cases", headers=headers, timeout=60).status_code == 200
    for one in unread:
        one.close()
