"""A case comes in whole or not at all, once."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.api.conftest import case_json, png
from tests.api.stored import Stored, state_of
from tests.clinical_mm.pictures.dicoms import dicom, ramp


def multipart(case: dict[str, Any], *files: tuple[str, bytes]) -> dict[str, Any]:
    parts = [("files", (name, data, "application/octet-stream")) for name, data in files]
    return {"files": [("case", (None, json.dumps(case), "application/json")), *parts]}


def test_json_alone_is_enough(client: httpx.Client) -> None:
    answer = client.post("/cases", json=case_json())
    assert answer.status_code == 201, answer.text
    case = answer.json()
    assert answer.headers["Location"] == f"/v1/cases/{case['id']}"
    assert answer.headers["ETag"] == '"1"'
    assert case["external_id"] == "acc-1"
    assert case["patient"] == {"id": "p-1", "sex": "F", "age_years": 64}
    assert case["diagnoses"] == ["pneumonia"]
    assert case["acquired_at"] == "2026-03-01T10:00:00Z"
    assert case["synthetic"] is False
    assert client.get(f"/cases/{case['id']}").json() == case


def test_vitals_are_stored_in_the_catalogues_units(client: httpx.Client) -> None:
    case = client.post("/cases", json=case_json()).json()
    assert case["vitals"]["spo2"] == 88
    assert case["vitals"]["temperature"] == pytest.approx(38.61, abs=0.01)


def test_only_the_patient_and_one_of_note_vitals_or_file_are_required(client: httpx.Client) -> None:
    assert client.post("/cases", json={"patient": {"id": "p"}, "note": "Fever."}).status_code == 201
    assert client.post("/cases", json={"patient": {"id": "p"}, "vitals": {"spo2": 90}}).status_code == 201
    assert client.post("/cases", **multipart({"patient": {"id": "p"}}, ("a.png", png()))).status_code == 201
    assert client.post("/cases", json={"patient": {"id": "p"}}).status_code == 422


def test_files_come_back_byte_for_byte_with_what_their_headers_told(client: httpx.Client) -> None:
    image, scan = png(1), dicom(ramp(), SeriesInstanceUID="1.2.3", BodyPartExamined="CHEST")
    case = client.post("/cases", **multipart(case_json(), ("chest.png", image), ("../../etc/scan.dcm", scan))).json()
    assert [(f["name"], f["media_type"], f["size"]) for f in case["files"]] == [
        ("chest.png", "image/png", len(image)),
        ("scan.dcm", "application/dicom", len(scan)),
    ]
    assert case["files"][1]["attributes"]["body_part"] == "CHEST"
    assert "Canary" not in json.dumps(case)
    for position, data in enumerate((image, scan)):
        answer = client.get(f"/cases/{case['id']}/files/{position}")
        assert answer.content == data
        assert answer.headers["Content-Type"] == case["files"][position]["media_type"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_text_of_any_language_survives(client: httpx.Client) -> None:
    note = "发热 38,5 °C — húmedo 🫁 \u202e rtl"
    made = client.post("/cases", json=case_json(note=note, external_id="случай/1")).json()
    assert client.get(f"/cases/{made['id']}").json()["note"] == note


def test_the_same_external_id_again_is_a_conflict(client: httpx.Client, stored: Stored) -> None:
    client.post("/cases", **multipart(case_json(), ("a.png", png(1))))
    before = state_of(stored)
    answer = client.post("/cases", **multipart(case_json(note="another"), ("b.png", png(2))))
    assert answer.status_code == 409
    assert state_of(stored) == before


def test_a_repeated_idempotency_key_answers_the_same_and_stores_nothing(client: httpx.Client, stored: Stored) -> None:
    request = multipart(case_json(), ("a.png", png()))
    first = client.post("/cases", headers={"Idempotency-Key": "k-1"}, **request)
    before = state_of(stored)
    second = client.post("/cases", headers={"Idempotency-Key": "k-1"}, **request)
    assert (first.status_code, second.status_code) == (201, 201)
    assert (second.json(), second.headers["Location"]) == (first.json(), first.headers["Location"])
    assert state_of(stored) == before


def test_an_idempotency_key_with_another_body_is_refused(client: httpx.Client) -> None:
    client.post("/cases", headers={"Idempotency-Key": "k-1"}, json=case_json())
    answer = client.post("/cases", headers={"Idempotency-Key": "k-1"}, json=case_json(external_id="acc-2"))
    assert answer.status_code == 422


def test_an_idempotency_key_of_one_project_means_nothing_in_another(client_as: Any) -> None:
    first = client_as("clinician").post("/cases", headers={"Idempotency-Key": "k-1"}, json=case_json()).json()
    other = client_as("stranger").post("/cases", headers={"Idempotency-Key": "k-1"}, json=case_json()).json()
    assert first["id"] != other["id"]


def at_once(count: int, post: Any) -> list[httpx.Response]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(post, range(count)))


def test_many_clients_with_the_same_external_id_make_one_case(client: httpx.Client, stored: Stored) -> None:
    answers = at_once(12, lambda n: client.post("/cases", **multipart(case_json(), (f"{n}.png", png(n)))))
    assert sorted(a.status_code for a in answers) == [201, *[409] * 11]
    assert len(client.get("/cases").json()["items"]) == 1
    assert len(state_of(stored).blobs) == 1, "what the losers had written is gone"


def test_many_clients_with_the_same_idempotency_key_make_one_case(client: httpx.Client) -> None:
    headers = {"Idempotency-Key": "k-1"}
    answers = at_once(12, lambda n: client.post("/cases", headers=headers, **multipart(case_json(), ("a.png", png()))))
    assert {a.status_code for a in answers} == {201}
    assert len({a.json()["id"] for a in answers}) == 1


def test_many_cases_that_share_a_file_come_in_at_once(client: httpx.Client, stored: Stored) -> None:
    post = lambda n: client.post("/cases", **multipart(case_json(external_id=f"acc-{n}"), ("a.png", png())))  # noqa: E731
    answers = at_once(12, post)
    assert {a.status_code for a in answers} == {201}
    assert len(state_of(stored).blobs) == 1
    assert all(client.get(f"/cases/{a.json()['id']}/files/0").content == png() for a in answers)


def test_a_synthetic_case_is_marked_and_no_caller_can_mark_one(services: Any, client: httpx.Client) -> None:
    from clinical_mm import Case

    caller = services.access.operator("default")
    case = services.cases.submit_case(caller, Case.from_files(note="Fever.", images=[png()]), synthetic=True)
    assert case.synthetic
    assert client.post("/cases", json=case_json(synthetic=True)).status_code == 422
