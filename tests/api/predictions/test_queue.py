"""The queue before a model: batches form under load, a full queue says so, one bad case spoils only itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from api.predictions.queue import BatchingQueue
from api.problems import TooBusy
from clinical_mm.case import Case, Patient
from clinical_mm.errors import InvalidCase


class SlowModel:
    """Answers with the note of each case, when it is let."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.may_answer = threading.Event()
        self.busy = threading.Event()

    def predict(self, cases: Sequence[Case]) -> list[Any]:
        self.batches.append(len(cases))
        self.busy.set()
        assert self.may_answer.wait(10)
        if any(case.note == "spoiled" for case in cases):
            raise InvalidCase("this one")
        return [case.note for case in cases]


@pytest.fixture
def slow() -> SlowModel:
    return SlowModel()


@pytest.fixture
def queue(slow: SlowModel) -> Iterator[BatchingQueue]:
    made = BatchingQueue(slow, max_batch=4, max_queue=6)  # type: ignore[arg-type]
    yield made
    slow.may_answer.set()
    made.close()


def noted(note: str) -> Case:
    return Case(patient=Patient("p-1"), note=note)


def waiting(queue: BatchingQueue, count: int) -> None:
    deadline = time.monotonic() + 5
    while len(queue._waiting) < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_what_arrives_during_a_pass_shares_the_next_up_to_the_limit(queue: BatchingQueue, slow: SlowModel) -> None:
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(queue.predict, noted("first"))
        assert slow.busy.wait(5)
        others = [pool.submit(queue.predict, noted(str(n))) for n in range(5)]
        waiting(queue, 5)
        slow.may_answer.set()
        assert first.result(5) == "first"
        assert [f.result(5) for f in others] == ["0", "1", "2", "3", "4"]
    assert slow.batches == [1, 4, 1]


def test_a_single_caller_waits_for_no_company(queue: BatchingQueue, slow: SlowModel) -> None:
    slow.may_answer.set()
    started = time.monotonic()
    assert str(queue.predict(noted("alone"))) == "alone"
    assert time.monotonic() - started < 0.5


def test_a_full_queue_refuses_at_once_and_recovers(queue: BatchingQueue, slow: SlowModel) -> None:
    with ThreadPoolExecutor(8) as pool:
        held = [pool.submit(queue.predict, noted("held"))]
        assert slow.busy.wait(5)
        held += [pool.submit(queue.predict, noted("held")) for _ in range(6)]
        waiting(queue, 6)
        with pytest.raises(TooBusy) as refusal:
            queue.predict(noted("one too many"))
        assert refusal.value.retry_after_s
        slow.may_answer.set()
        assert [f.result(5) for f in held] == ["held"] * 7
    assert str(queue.predict(noted("later"))) == "later"


def test_one_bad_case_spoils_only_itself(queue: BatchingQueue, slow: SlowModel) -> None:
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(queue.predict, noted("first"))
        assert slow.busy.wait(5)
        good, bad = pool.submit(queue.predict, noted("good")), pool.submit(queue.predict, noted("spoiled"))
        waiting(queue, 2)
        slow.may_answer.set()
        assert (first.result(5), good.result(5)) == ("first", "good")
        with pytest.raises(InvalidCase):
            bad.result(5)
    assert str(queue.predict(noted("and on"))) == "and on"


def test_closing_answers_what_waits_and_takes_no_more(queue: BatchingQueue, slow: SlowModel) -> None:
    with ThreadPoolExecutor(4) as pool:
        held = pool.submit(queue.predict, noted("held"))
        assert slow.busy.wait(5)
        late = pool.submit(queue.predict, noted("late"))
        waiting(queue, 1)
        slow.may_answer.set()
        queue.close()
        assert (held.result(5), late.result(5)) == ("held", "late")
    with pytest.raises(TooBusy):
        queue.predict(noted("after"))


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_over_http_it_is_429_with_retry_after(client: httpx.Client, services: Any, case: str, model: str) -> None:
    services.ground.settings.max_batch = services.ground.settings.max_queue = 1
    assert client.post(f"/cases/{case}/predictions").status_code == 201
    predictor = services.models.predictor(model)
    with ThreadPoolExecutor(6) as pool:
        with predictor.lock:  # a pass that takes long
            asked = [pool.submit(client.post, f"/cases/{case}/predictions") for _ in range(6)]
            deadline = time.monotonic() + 20
            while sum(f.done() for f in asked) < 4:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        answers = [f.result(30) for f in asked]
    assert sorted(a.status_code for a in answers) == [201, 201, 429, 429, 429, 429]
    refused = next(a for a in answers if a.status_code == 429)
    assert int(refused.headers["Retry-After"]) > 0
    assert refused.headers["Content-Type"] == "application/problem+json"
