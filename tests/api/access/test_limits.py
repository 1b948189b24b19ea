"""How often: a caller's requests and an address's failures are bounded, a clinician never notices."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from limits import parse
from limits.storage import MemoryStorage

from api.access.limits import Counting, Limits
from api.access.service import Access, Role
from api.app import create_app
from api.problems import RateLimited, TooBusy, Unauthenticated
from api.services import build
from api.settings import Settings
from clinical_mm.errors import InvalidConfig
from tests.api.conftest import listening

Send = Callable[..., httpx.Response]


@pytest.fixture
def send(settings: Settings, keys: dict[str, str]) -> Iterator[Send]:
    """A request to a server with limits so low that a test reaches them."""
    low = {"rate_limit": "5/minute", "rate_limit_failures": "3/minute", "proxies": 1}
    services = build(settings.model_copy(update=low))
    with listening(create_app(services=services)) as url, httpx.Client(base_url=url, timeout=30) as client:

        def get(key: str, path: str = "/v1/catalogue", address: str = "10.0.0.1") -> httpx.Response:
            headers = {"Authorization": f"Bearer {keys.get(key, key)}", "X-Forwarded-For": address}
            return client.get(path, headers=headers)

        yield get
    services.close()


def test_a_caller_who_asks_too_often_is_told_when_to_come_back(send: Send) -> None:
    answers = [send("viewer") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    told = answers[-1]
    assert told.headers["Content-Type"] == "application/problem+json"
    assert 1 <= int(told.headers["Retry-After"]) <= 60
    assert told.headers["RateLimit-Policy"] == '"caller";q=5;w=60'
    assert [answer.headers["RateLimit"].split(";")[1] for answer in answers] == [f"r={n}" for n in (4, 3, 2, 1, 0, 0)]


def test_one_callers_requests_are_not_anothers(send: Send) -> None:
    for _ in range(6):
        send("viewer")
    assert send("clinician").status_code == 200


def test_whether_the_service_lives_may_be_asked_at_any_time(send: Send) -> None:
    assert {send("viewer", "/healthz").status_code for _ in range(20)} == {200}


def test_an_address_that_guesses_is_shut_out_and_others_are_not(send: Send, keys: dict[str, str]) -> None:
    wrong = keys["viewer"][:-1] + ("a" if keys["viewer"][-1] != "a" else "b")
    assert [send(wrong).status_code for _ in range(5)] == [401, 401, 401, 429, 429]
    assert send("viewer", address="10.0.0.2").status_code == 200
    assert send("clinician").status_code == 429, "a key that was never seen from there is not even looked at"
    assert send("viewer").status_code == 200, "one that was right a moment ago is let in from there, too"


def test_unknown_and_malformed_keys_count_as_guesses(send: Send) -> None:
    guesses = ["cmm_" + "0" * 20 + "_" + "x" * 40, "nonsense", "cmm_"]
    assert [send(guess).status_code for guess in guesses] == [401] * 3
    assert send("viewer").status_code == 429


def test_a_key_that_has_ended_is_no_guess(send: Send, services: Any) -> None:
    operator = services.access.operator()
    key, secret = services.access.create_key(operator, Role.VIEWER, "old")
    services.access.revoke(operator, key.id)
    assert {send(secret).status_code for _ in range(6)} == {401}
    assert send("viewer").status_code == 200


def test_sign_ins_that_fail_count_too(settings: Settings) -> None:
    from tests.api.pages.test_sign_in import csrf_token

    services = build(settings.model_copy(update={"rate_limit_failures": "3/minute"}))
    with listening(create_app(services=services)) as url, httpx.Client(base_url=url) as client:
        form = {"key": "cmm_x_y", "csrf_token": csrf_token(client.get("/sign-in").text)}
        answers = [client.post("/sign-in", data=form) for _ in range(4)]
    services.close()
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
    assert int(answers[-1].headers["Retry-After"]) >= 1


def test_a_flood_of_keys_takes_two_hashes_at_a_time(services: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """argon2 costs 19 MB and a core's time each: more at once would be a cheap way to take all of both."""
    access = Access(services.ground.database, lambda *_, **__: None)
    secrets = [access.create_key(services.access.operator(), Role.VIEWER, f"k{n}")[1] for n in range(6)]
    at_once, most, lock = [0], [0], threading.Lock()

    def slow(*_: object) -> bool:
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        time.sleep(0.8)
        with lock:
            at_once[0] -= 1
        return True

    monkeypatch.setattr(access._hasher.__class__, "verify", slow)
    outcomes: list[str] = []

    def ask(secret: str) -> None:
        try:
            access.authenticate(secret)
            outcomes.append("in")
        except TooBusy:
            outcomes.append("busy")

    threads = [threading.Thread(target=ask, args=(secret,)) for secret in secrets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 2
    assert len(outcomes) == 6
    assert {"in", "busy"} == set(outcomes), "who waited for a second is told to try again"


@pytest.fixture
def redis_url() -> Iterator[str]:
    """A store that speaks Redis' own protocol."""
    from fakeredis import TcpFakeServer

    server = TcpFakeServer(("127.0.0.1", 0), server_type="redis")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"redis://127.0.0.1:{server.server_address[1]}/0"
    server.shutdown()
    server.server_close()


def test_processes_that_share_a_store_share_the_limit(redis_url: str) -> None:
    one, other = (Limits("3/minute", "", redis_url) for _ in range(2))
    for limits in (one, other, one):
        limits.spend("key_a")
    with pytest.raises(RateLimited):
        other.spend("key_a")


def test_while_the_store_is_away_each_process_counts_for_itself() -> None:
    limits = Limits("3/minute", "1/minute", "redis://127.0.0.1:9/0")
    began = time.monotonic()
    for _ in range(3):
        limits.spend("key_a")
    with pytest.raises(RateLimited):
        limits.spend("key_a")
    limits.count_failure("10.0.0.1")
    with pytest.raises(RateLimited):
        limits.refuse_guessing("10.0.0.1")
    assert time.monotonic() - began < 2.0


@pytest.mark.parametrize(
    "faulty", [("often", "", "memory://"), ("", "x", "memory://"), ("1/minute", "", "carrier-pigeon://")]
)
def test_a_limit_that_is_none_is_told_at_the_start(faulty: tuple[str, str, str]) -> None:
    with pytest.raises(InvalidConfig, match="CLINICAL_MM_RATE_LIMIT"):
        Limits(*faulty)


def test_no_limit_is_no_limit() -> None:
    limits = Limits("", "", "memory://")
    assert {limits.spend("key_a") for _ in range(100)} == {None}
    limits.refuse_guessing("10.0.0.1")


def test_a_wrong_key_still_reads_as_wrong(services: Any) -> None:
    with pytest.raises(Unauthenticated):
        services.access.authenticate("cmm_x_y", "10.0.0.1")


def test_many_threads_at_once_are_counted_and_none_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def looked_up_slowly(store: MemoryStorage) -> threading.Timer:
        time.sleep(0.002)  # another thread's turn comes while the library is about to start the timer of its store
        return store.__dict__["made"]

    kept = property(looked_up_slowly, lambda store, made: store.__dict__.update(made=made))
    monkeypatch.setattr(MemoryStorage, "timer", kept, raising=False)
    counting, item = Counting("memory://"), parse("1000000/minute")
    with ThreadPoolExecutor(8) as threads:
        standings = list(threads.map(lambda _: counting.spend(item, "caller")[1], range(160)))
    assert min(standing.remaining for standing in standings) == 1_000_000 - 160
