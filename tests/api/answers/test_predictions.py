"""Ask the serving model about a stored case."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from api.predictions.queue import BatchingQueue
from api.problems import TooBusy
from clinical_mm.case import Case, Patient
from clinical_mm.errors import InvalidCase


def test_an_answer_has_the_contracts_shape_and_is_kept(
    client: httpx.Client, predicted: dict[str, Any], model_id: str, case_id: str
) -> None:
    assert (predicted["model"], predicted["case_id"]) == (model_id, case_id)
    p = [d["probability"] for d in predicted["diagnoses"]]
    assert p == sorted(p, reverse=True)
    assert {d["code"] for d in predicted["diagnoses"]} >= set(predicted["prediction_set"]["codes"])
    assert sum(m["weight"] for m in predicted["modalities"]) == pytest.approx(1, abs=1e-4)
    assert client.get(f"/predictions/{predicted['id']}").json() == predicted
    assert client.get(f"/cases/{case_id}/predictions").json()["items"] == [predicted]


def test_without_a_model_the_answer_says_what_to_do(client: httpx.Client, case_id: str) -> None:
    answer = client.post(f"/cases/{case_id}/predictions")
    assert answer.status_code == 503
    assert "POST /v1/training-runs" in answer.json()["detail"]


def test_what_belongs_to_another_project_does_not_exist(
    stranger: httpx.Client, predicted: dict[str, Any], case_id: str
) -> None:
    assert stranger.post(f"/cases/{case_id}/predictions").status_code == 404
    assert stranger.get(f"/predictions/{predicted['id']}").status_code == 404
    assert stranger.post(f"/predictions/{predicted['id']}/explanations", json={}).status_code == 404


def test_a_viewer_reads_and_does_not_ask(
    client_as: Callable[[str], httpx.Client], predicted: dict[str, Any], case_id: str
) -> None:
    viewer = client_as("viewer")
    assert viewer.get(f"/predictions/{predicted['id']}").status_code == 200
    assert viewer.post(f"/cases/{case_id}/predictions").status_code == 403


@pytest.mark.parametrize(
    ("body", "status"), [({"model": "model_none"}, 404), ({"modle": "x"}, 422), ({"model": 5}, 422)]
)
def test_a_wrong_body_is_refused(
    client: httpx.Client, model_id: str, case_id: str, body: dict[str, Any], status: int
) -> None:
    assert client.post(f"/cases/{case_id}/predictions", json=body).status_code == status


def test_erasing_the_case_erases_what_was_said_about_it(
    client: httpx.Client, predicted: dict[str, Any], case_id: str
) -> None:
    assert client.delete(f"/cases/{case_id}").status_code == 204
    assert client.get(f"/predictions/{predicted['id']}").status_code == 404


class SlowPredictor:
    """Answers with the case's patient id, one batch at a time; remembers the batches."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.go = threading.Event()

    def predict(self, cases: Sequence[Case]) -> list[str]:
        self.go.wait(10)
        self.batches.append(len(cases))
        if any(case.patient.id == "bad" for case in cases):
            raise InvalidCase("this one cannot be read")
        return [case.patient.id for case in cases]


def ask(queue: BatchingQueue, name: str) -> Any:
    return queue.predict(Case(Patient(name), note="x"))


def test_requests_that_wait_together_share_a_batch_and_each_gets_its_own_answer() -> None:
    model = SlowPredictor()
    queue = BatchingQueue(model, max_batch=4, max_queue=100)  # type: ignore[arg-type]
    names = [f"p{i}" for i in range(13)]
    with ThreadPoolExecutor(13) as pool:
        answers = [pool.submit(ask, queue, name) for name in names]
        time.sleep(0.3)
        model.go.set()
        assert [a.result() for a in answers] == names
    queue.close()
    assert sum(model.batches) == 13
    assert max(model.batches) == 4


def test_one_bad_case_does_not_spoil_its_batch() -> None:
    model = SlowPredictor()
    queue = BatchingQueue(model, max_batch=8, max_queue=100)  # type: ignore[arg-type]
    with ThreadPoolExecutor(5) as pool:
        answers = {name: pool.submit(ask, queue, name) for name in ("a", "bad", "b", "c")}
        time.sleep(0.2)
        model.go.set()
        assert [answers[name].result() for name in ("a", "b", "c")] == ["a", "b", "c"]
        with pytest.raises(InvalidCase):
            answers["bad"].result()
    queue.close()


def test_a_full_queue_says_when_to_come_back() -> None:
    model = SlowPredictor()
    queue = BatchingQueue(model, max_batch=1, max_queue=2)  # type: ignore[arg-type]
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(ask, queue, "first")
        time.sleep(0.2)
        rest = [pool.submit(ask, queue, name) for name in ("second", "third")]
        time.sleep(0.2)
        with pytest.raises(TooBusy) as caught:
            ask(queue, "fourth")
        model.go.set()
        assert [f.result() for f in (first, *rest)] == ["first", "second", "third"]
    queue.close()
    assert caught.value.status == 429
    assert caught.value.retry_after_s
