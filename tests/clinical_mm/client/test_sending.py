"""What the client does when the service is busy, away, or the line breaks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from clinical_mm.client.problem import Problem
from clinical_mm.client.sending import Sending

Answers = list[httpx.Response | type[httpx.TransportError]]


def sending(answers: Answers, retries: int = 3) -> tuple[Sending, list[httpx.Request], list[float]]:
    requests: list[httpx.Request] = []
    slept: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        given = answers[len(requests) - 1]
        if isinstance(given, httpx.Response):
            return given
        raise given("broken")

    http = httpx.Client(base_url="http://hospital", transport=httpx.MockTransport(answer))
    return Sending(http, retries, slept.append), requests, slept


def busy(status: int, retry_after: str | None) -> httpx.Response:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return httpx.Response(status, headers=headers, json={"title": "busy", "detail": "come back", "status": status})


@pytest.mark.parametrize("status", [429, 503])
def test_it_waits_as_long_as_it_is_told_and_asks_again(status: int) -> None:
    sender, requests, slept = sending([busy(status, "7"), httpx.Response(200)])
    assert sender.send("GET", "/x").status_code == 200
    assert (len(requests), slept) == (2, [7.0])


def test_a_date_to_wait_for_is_understood_and_nothing_is_waited_for_for_ever() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=9), usegmt=True)
    sender, _, slept = sending([busy(503, soon), busy(503, "86400"), httpx.Response(200)])
    sender.send("GET", "/x")
    assert 5 < slept[0] <= 9
    assert slept[1] == 30


@pytest.mark.parametrize("told", [None, "soon"])
def test_untold_it_waits_longer_each_time(told: str | None) -> None:
    sender, _, slept = sending([busy(503, told), busy(503, told), busy(503, told), httpx.Response(200)])
    sender.send("GET", "/x")
    assert [0.25 * 2**n <= s <= 0.5 * 2**n for n, s in enumerate(slept)] == [True] * 3


def test_what_is_sent_again_has_the_same_key_and_body() -> None:
    sender, requests, _ = sending([httpx.ReadError, busy(503, "0"), httpx.Response(201)])
    sender.send("POST", "/x", parts=[("files", ("a.png", b"bytes", "image/png"))])
    keys = {request.headers["Idempotency-Key"] for request in requests}
    assert len(requests) == 3
    assert len(keys) == 1
    assert all(b"bytes" in request.content for request in requests)


def test_each_request_has_a_key_of_its_own() -> None:
    sender, requests, _ = sending([httpx.Response(201), httpx.Response(201)])
    sender.send("POST", "/x", json={})
    sender.send("POST", "/x", json={})
    assert requests[0].headers["Idempotency-Key"] != requests[1].headers["Idempotency-Key"]


def test_it_gives_up_and_tells_what_it_was_told() -> None:
    sender, requests, _ = sending([busy(429, "1")] * 3, retries=2)
    with pytest.raises(Problem, match="429 busy: come back"):
        sender.send("GET", "/x")
    assert len(requests) == 3


def test_a_service_that_is_not_there_is_a_problem_without_a_status() -> None:
    sender, _, _ = sending([httpx.ConnectError] * 2, retries=1)
    with pytest.raises(Problem) as caught:
        sender.send("GET", "/x")
    assert caught.value.status == 0


def test_a_change_whose_answer_was_lost_is_not_sent_again() -> None:
    sender, requests, _ = sending([httpx.ReadError, httpx.Response(200)])
    with pytest.raises(Problem):
        sender.send("PATCH", "/x", json={})
    assert len(requests) == 1


@pytest.mark.parametrize("answer", [httpx.Response(502, text="<html>proxy</html>"), httpx.Response(418)])
def test_an_answer_that_is_no_problem_document_is_a_problem_too(answer: httpx.Response) -> None:
    sender, _, _ = sending([answer])
    with pytest.raises(Problem) as caught:
        sender.send("GET", "/x")
    assert caught.value.status == answer.status_code


def test_anything_else_is_not_tried_again() -> None:
    sender, requests, slept = sending([httpx.Response(404, json={"title": "no", "detail": "no"})])
    with pytest.raises(Problem, match="404"):
        sender.send("GET", "/x")
    assert (len(requests), slept) == (1, [])
