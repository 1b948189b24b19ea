"""Every field wrong in turn: a 4xx problem that points at it, and what is stored stays byte for byte as it was."""

from __future__ import annotations

import json
from typing import Any

import httpx
import numpy as np
import pytest

from tests.api.cases.test_submit import multipart
from tests.api.conftest import case_json, png
from tests.api.stored import Stored, state_of
from tests.clinical_mm.pictures.dicoms import dicom, ramp

TOO_LONG = "x" * 201
WRONG_FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"patient": ...}, "/patient"),
    ({"patient": None}, "/patient"),
    ({"patient": "p-1"}, "/patient"),
    ({"patient": {}}, "/patient/id"),
    ({"patient": {"id": ""}}, "/patient/id"),
    ({"patient": {"id": 7}}, "/patient/id"),
    ({"patient": {"id": TOO_LONG}}, "/patient/id"),
    ({"patient": {"id": "a\x00b"}}, "/patient/id"),
    ({"patient": {"id": "p", "sex": "female"}}, "/patient/sex"),
    ({"patient": {"id": "p", "age_years": 10**400}}, "/patient/age_years"),
    ({"patient": {"id": "p", "age_years": -1}}, "/patient/age_years"),
    ({"patient": {"id": "p", "age_years": 131}}, "/patient/age_years"),
    ({"patient": {"id": "p", "age_years": "64"}}, "/patient/age_years"),
    ({"patient": {"id": "p", "age_years": True}}, "/patient/age_years"),
    ({"patient": {"id": "p", "name": "Jane"}}, "/patient/name"),
    ({"external_id": ""}, "/external_id"),
    ({"external_id": TOO_LONG}, "/external_id"),
    ({"external_id": ["acc"]}, "/external_id"),
    ({"external_id": "a\x00"}, "/external_id"),
    ({"external_id": "\ud800"}, "/external_id"),
    ({"note": 5}, "/note"),
    ({"note": "a\x00b"}, "/note"),
    ({"note": "\udfff"}, "/note"),
    ({"note": "x" * 1_000_001}, "/note"),
    ({"vitals": []}, "/vitals"),
    ({"vitals": {"mood": 3}}, "/vitals/mood"),
    ({"vitals": {"a/b~c": 3}}, "/vitals/a~1b~0c"),
    ({"vitals": {"a\x00": 3}}, "/vitals/a\ufffd"),
    ({"vitals": {"spo2": 250}}, "/vitals/spo2"),
    ({"vitals": {"spo2": -1}}, "/vitals/spo2"),
    ({"vitals": {"spo2": 1e308}}, "/vitals/spo2"),
    ({"vitals": {"spo2": 10**400}}, "/vitals/spo2"),
    ({"vitals": {"spo2": "88"}}, "/vitals/spo2"),
    ({"vitals": {"spo2": True}}, "/vitals/spo2"),
    ({"vitals": {"spo2": None}}, "/vitals/spo2"),
    ({"vitals": {"spo2": [88]}}, "/vitals/spo2"),
    ({"vitals": {"spo2": {}}}, "/vitals/spo2/value"),
    ({"vitals": {"spo2": {"value": 10**400}}}, "/vitals/spo2/value"),
    ({"vitals": {"spo2": {"value": "88"}}}, "/vitals/spo2/value"),
    ({"vitals": {"spo2": {"value": 88, "units": "%"}}}, "/vitals/spo2/units"),
    ({"vitals": {"temperature": {"value": 38, "unit": 5}}}, "/vitals/temperature/unit"),
    ({"vitals": {"temperature": {"value": 38, "unit": "kg"}}}, "/vitals/temperature/unit"),
    ({"vitals": {"temperature": {"value": 38, "unit": "furlong/fortnight"}}}, "/vitals/temperature/unit"),
    ({"vitals": {"temperature": {"value": 38, "unit": ""}}}, "/vitals/temperature/unit"),
    ({"vitals": {"temperature": {"value": 38, "unit": "((((((((("}}}, "/vitals/temperature/unit"),
    ({"vitals": {"temperature": {"value": 38, "unit": "Cel*Cel"}}}, "/vitals/temperature/unit"),
    ({"diagnoses": "pneumonia"}, "/diagnoses"),
    ({"diagnoses": [5]}, "/diagnoses/0"),
    ({"diagnoses": ["pneumonia", "the-flu"]}, "/diagnoses/1"),
    ({"diagnoses": ["pneumonia"] * 101}, "/diagnoses"),
    ({"acquired_at": "yesterday"}, "/acquired_at"),
    ({"acquired_at": "2026-03-01T10:00:00"}, "/acquired_at"),
    ({"acquired_at": "2026-13-01T10:00:00Z"}, "/acquired_at"),
    ({"acquired_at": "0001-01-01T00:00:00+14:00"}, "/acquired_at"),
    ({"acquired_at": "9999-12-31T23:59:59-14:00"}, "/acquired_at"),
    ({"acquired_at": 1740000000}, "/acquired_at"),
    ({"acquired_at": "1740000000"}, "/acquired_at"),
    ({"acquired_at": "2026-03-01T10:00Z"}, "/acquired_at"),
    ({"surprise": 1}, "/surprise"),
    ({"id": "case_mine"}, "/id"),
    ({"note": ..., "vitals": ...}, ""),
    ({"note": "  \n", "vitals": {}}, ""),
]
BODIES: list[tuple[bytes, str, int]] = [
    (b"", "application/json", 400),
    (b"{", "application/json", 400),
    (b"[]", "application/json", 422),
    (b'"text"', "application/json", 422),
    (b"null", "application/json", 422),
    (b"5", "application/json", 422),
    (b'{"patient": {"id": "p"}, "vitals": {"spo2": NaN}}', "application/json", 400),
    (b'{"patient": {"id": "p"}, "vitals": {"spo2": Infinity}}', "application/json", 400),
    (b'{"patient": {"id": "p"}, "vitals": {"spo2": 1e999}}', "application/json", 400),
    (b'{"patient": {"id": "p"}, "vitals": {"spo2": ' + b"9" * 5000 + b"}}", "application/json", 400),
    (b"\xff\xfe{}", "application/json", 400),
    (b"[" * 100_000, "application/json", 400),
    (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "application/json", 400),
    (json.dumps(case_json()).encode(), "text/plain", 415),
    (json.dumps(case_json()).encode(), "application/x-www-form-urlencoded", 415),
    (b"patient=p", "application/x-www-form-urlencoded", 415),
    (b"<case/>", "application/xml", 415),
    (b"nothing multipart", "multipart/form-data", 422),
    (b"nothing multipart", "multipart/form-data; boundary=x", 422),
]


@pytest.fixture
def occupied(client: httpx.Client) -> httpx.Client:
    """A project that holds a case with a file already, so that there is something to spoil."""
    client.post("/cases", **multipart(case_json(external_id="there"), ("a.png", png(7)))).raise_for_status()
    return client


def refused(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["status"] == status
    assert document["detail"]
    return document


def pointers(document: dict[str, Any]) -> list[str]:
    return [e["pointer"] for e in document["errors"]]


def test_every_field_wrong_in_turn_is_pointed_at_and_stores_nothing(occupied: httpx.Client, stored: Stored) -> None:
    before = state_of(stored)
    for changes, pointer in WRONG_FIELDS:
        body = json.dumps(case_json(**changes)).encode()
        alone = occupied.post("/cases", content=body, headers={"Content-Type": "application/json"})
        assert pointers(refused(alone, 422)) == [pointer], (str(changes)[:200], alone.text[:500])
        with_file = occupied.post(
            "/cases", files=[("case", (None, body, "application/json")), ("files", ("b.png", png(8), "image/png"))]
        )
        if pointer:  # with a file, a case without note and vitals is whole
            assert pointers(refused(with_file, 422)) == [pointer], str(changes)[:200]
            assert state_of(stored) == before, str(changes)[:200]
        else:
            occupied.delete(f"/cases/{with_file.raise_for_status().json()['id']}")
            before = state_of(stored)
    assert state_of(stored) == before


def test_several_faults_are_all_told_at_once(client: httpx.Client) -> None:
    vitals = {"spo2": 250, "mood": 3, "temperature": {"value": 1, "unit": "kg"}}
    document = refused(client.post("/cases", json=case_json(vitals=vitals, diagnoses=["the-flu"])), 422)
    assert set(pointers(document)) == {"/vitals/spo2", "/vitals/mood", "/vitals/temperature/unit", "/diagnoses/0"}


def test_bodies_that_are_no_case_are_refused_and_store_nothing(occupied: httpx.Client, stored: Stored) -> None:
    before = state_of(stored)
    for body, media_type, status in BODIES:
        answer = occupied.post("/cases", content=body, headers={"Content-Type": media_type})
        assert answer.status_code == status, (body[:60], media_type, answer.text[:300])
        refused(answer, status)
    assert state_of(stored) == before


DAMAGED = dicom(ramp())[:-500]
FILES: list[tuple[str, bytes, int]] = [
    ("nothing.dcm", b"", 415),
    ("note.txt", b"Fever and cough.", 415),
    ("page.html", b"<html><script>alert(1)</script></html>", 415),
    ("archive.zip", b"PK\x03\x04" + bytes(100), 415),
    ("chest.gif", b"GIF89a" + bytes(100), 415),
    ("cut.png", png()[:-200], 422),
    ("cut.dcm", DAMAGED, 422),
    ("cut.jpg", b"\xff\xd8\xff\xe0" + bytes(100), 422),
    ("huge.dcm", dicom(ramp(), Rows=65535, Columns=65535), 422),
    ("many.dcm", dicom(np.stack([ramp()] * 2), NumberOfFrames=2_000_000_000), 422),
]


def test_a_file_that_is_wrong_is_pointed_at_without_its_name_and_takes_the_whole_case_with_it(
    occupied: httpx.Client, stored: Stored
) -> None:
    before = state_of(stored)
    for name, data, status in FILES:
        answer = occupied.post("/cases", **multipart(case_json(), ("good.png", png(9)), (name, data)))
        document = refused(answer, status)
        assert name not in json.dumps(document), document
        assert pointers(document) == ["/files/1"], document
        assert state_of(stored) == before, name


def test_parts_that_nobody_asked_for_are_refused(client: httpx.Client) -> None:
    case = json.dumps(case_json()).encode()
    for parts, pointer in (
        ([("files", ("a.png", png(), "image/png"))], "/case"),
        ([("case", (None, case)), ("image", ("a.png", png(), "image/png"))], "/image"),
        ([("case", (None, case)), ("more", (None, b"x"))], "/more"),
        ([("case", (None, case)), ("case", (None, case))], "/case"),
        ([("case", (None, case)), ("files", (None, b"text, no file"))], "/files"),
    ):
        assert pointers(refused(client.post("/cases", files=parts), 422)) == [pointer]


def test_too_much_is_413(client: httpx.Client, stored: Stored) -> None:
    before = state_of(stored)
    big = bytes(9 * 2**20)  # the test server takes 8 MB
    refused(client.post("/cases", content=big, headers={"Content-Type": "application/json"}), 413)
    refused(client.post("/cases", **multipart(case_json(), ("a.dcm", big))), 413)
    assert state_of(stored) == before


def test_too_many_files_or_parts_are_refused(client: httpx.Client, stored: Stored, services: Any) -> None:
    before = state_of(stored)
    most = services.ground.settings.max_files_per_case
    some, many = ([("x.png", png())] * (most + n) for n in (1, 500))
    assert pointers(refused(client.post("/cases", **multipart(case_json(), *some)), 422)) == ["/files"]
    refused(client.post("/cases", **multipart(case_json(), *many)), 413)
    assert state_of(stored) == before


@pytest.mark.parametrize(
    "identity", ["case_nothing", "..", "a%00b", "%ff%fe", "%ED%A0%80", "'; DROP TABLE cases; --", "x" * 5000]
)
def test_an_identifier_that_nobody_gave_is_404(client: httpx.Client, identity: str) -> None:
    for path in (f"/cases/{identity}", f"/cases/{identity}/files/0", f"/cases/{identity}/files/0/preview.png"):
        answer = client.get(path)
        assert answer.status_code in {404, 422}, (path[:80], answer.text[:200])
        assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("key", ["", "k" * 201, "caf\xe9\x85"])
def test_an_idempotency_key_that_is_no_text_is_refused(client: httpx.Client, key: str) -> None:
    answer = client.post("/cases", json=case_json(), headers=[("Idempotency-Key", key.encode("latin-1"))])  # type: ignore[list-item]
    refused(answer, 422)
