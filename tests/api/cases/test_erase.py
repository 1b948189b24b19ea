"""Erasing a case takes everything of it, nothing of another, and says so in the trail."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest

from clinical_mm.answers import Prediction
from clinical_mm.case import Case
from clinical_mm.features import Features
from clinical_mm.modalities import contents_of
from tests.api.cases.test_submit import multipart
from tests.api.conftest import case_json, png
from tests.api.stored import Stored, state_of


def test_row_and_blobs_are_gone_and_only_the_trail_knows(client: httpx.Client, stored: Stored) -> None:
    before = state_of(stored)
    case = client.post("/cases", headers={"Idempotency-Key": "k"}, **multipart(case_json(), ("a.png", png()))).json()
    answer = client.delete(f"/cases/{case['id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    after = state_of(stored)
    assert after.blobs == before.blobs
    assert {**after.rows, "erased_contents": []} == before.rows
    assert client.get(f"/cases/{case['id']}").status_code == 404
    assert client.get(f"/cases/{case['id']}/files/0").status_code == 404
    assert client.delete(f"/cases/{case['id']}").status_code == 404
    trail = client.get("/audit", params={"object_id": case["id"], "result": "changed"}).json()["items"]
    assert [e["action"] for e in trail] == ["case.erase", "case.submit"]
    assert "p-1" not in str(trail)


def test_a_blob_that_another_case_shares_stays(client: httpx.Client, stored: Stored) -> None:
    first = client.post("/cases", **multipart(case_json(), ("a.png", png(1)), ("b.png", png(2)))).json()
    second = client.post("/cases", **multipart(case_json(external_id="acc-2"), ("c.png", png(1)))).json()
    client.delete(f"/cases/{first['id']}")
    assert len(state_of(stored).blobs) == 1
    assert client.get(f"/cases/{second['id']}/files/0").content == png(1)
    client.delete(f"/cases/{second['id']}")
    assert state_of(stored).blobs == {}


def test_a_case_may_come_again_after_it_was_erased(client: httpx.Client) -> None:
    request = multipart(case_json(), ("a.png", png()))
    first = client.post("/cases", headers={"Idempotency-Key": "k"}, **request).json()
    client.delete(f"/cases/{first['id']}")
    again = client.post("/cases", headers={"Idempotency-Key": "k"}, **request)
    assert again.status_code == 201
    assert again.json()["id"] != first["id"]
    assert client.get(f"/cases/{again.json()['id']}/files/0").content == png()


def test_a_file_is_never_lost_when_one_case_goes_while_another_comes(client: httpx.Client) -> None:
    def come_and_go(n: int) -> None:
        for round_ in range(4):
            body = multipart(case_json(external_id=f"acc-{n}-{round_}"), ("a.png", png()))
            case = client.post("/cases", **body).raise_for_status().json()
            assert client.get(f"/cases/{case['id']}/files/0").content == png()
            client.delete(f"/cases/{case['id']}").raise_for_status()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(come_and_go, range(6)))


def test_what_encoders_made_of_a_case_goes_with_it_and_with_what_was_changed(
    client: httpx.Client, services: Any, model: str, case: str
) -> None:
    cache = services.ground.features
    client.post(f"/cases/{case}/predictions").raise_for_status()
    first = cache.bytes_kept()
    assert first > 0
    client.patch(f"/cases/{case}", json={"note": "Another note."}).raise_for_status()
    assert cache.bytes_kept() == 0, "the model's one frozen encoder reads the note"
    client.post(f"/cases/{case}/predictions").raise_for_status()
    assert cache.bytes_kept() > 0
    client.delete(f"/cases/{case}").raise_for_status()
    assert cache.bytes_kept() == 0


def test_a_case_that_is_erased_while_a_model_reads_it_leaves_nothing(
    client: httpx.Client, services: Any, model: str, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = services.predictions._queue(model)
    predict = queue.predict

    def and_then_erase(asked: Case) -> Prediction:
        answer, contents = predict(asked), contents_of(asked)
        client.delete(f"/cases/{case}").raise_for_status()
        late = Features(np.ones((2, 4), np.float16), np.ones(2, bool))  # as if the model had been slower
        services.ground.features.put("encoder", dict.fromkeys(contents, late))
        return answer

    monkeypatch.setattr(queue, "predict", and_then_erase)
    assert client.post(f"/cases/{case}/predictions").status_code == 404
    assert services.ground.features.bytes_kept() == 0


def test_a_case_whose_file_is_gone_can_be_erased_all_the_same(client: httpx.Client, services: Any) -> None:
    case = client.post("/cases", **multipart(case_json(), ("a.png", png()))).json()
    services.ground.blobs.path(case["files"][0]["sha256"]).unlink()
    assert client.delete(f"/cases/{case['id']}").status_code == 204
    assert client.get(f"/cases/{case['id']}").status_code == 404
