"""What a project does with who its cases are about."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from typing import Any

import httpx
import pydicom
import pytest

from api.cases.tables import CaseRow
from api.idempotency.tables import IdempotencyKeyRow
from tests.api.conftest import case_json, png
from tests.api.stored import Stored, state_of
from tests.identified import ACCESSION, MRN, SERIES, dicom_bytes, identified

NOTE = "Mr. Barnaby Quillfeather, MRN 7001842, came on 2026-03-02; call 555-123-4567."
IDENTITY = {"id": MRN, "sex": "M", "age_years": 94}


def sent(**changes: Any) -> dict[str, Any]:
    return case_json(**{"external_id": ACCESSION, "patient": IDENTITY, "note": NOTE, **changes})


def multipart(case: dict[str, Any], *files: bytes) -> list[tuple[str, Any]]:
    parts: list[tuple[str, Any]] = [("case", (None, json.dumps(case), "application/json"))]
    return [*parts, *(("files", (f"Quillfeather-{n}.dcm", data)) for n, data in enumerate(files))]


@pytest.fixture
def pseudonymising(client: httpx.Client) -> httpx.Client:
    client.patch("/project", json={"deidentify": "pseudonymise"}).raise_for_status()
    return client


@pytest.fixture
def refusing(client: httpx.Client) -> httpx.Client:
    client.patch("/project", json={"deidentify": "refuse"}).raise_for_status()
    return client


def everything_stored(stored: Stored, services: Any) -> str:
    """Rows and blobs as text."""
    with services.ground.database.reading() as session:
        rows = [
            dict(row._mapping)
            for table in (CaseRow, IdempotencyKeyRow)
            for row in session.execute(table.__table__.select())
        ]
    blobs = [services.ground.blobs.get(digest) for digest, _ in services.ground.blobs.list()]
    return json.dumps(rows, default=str) + "".join(blob.decode("latin-1") for blob in blobs)


def test_a_project_keeps_what_is_sent_until_an_admin_says_otherwise(client: httpx.Client) -> None:
    data = dicom_bytes(identified())
    case = client.post("/cases", files=multipart(sent(), data)).raise_for_status().json()
    assert client.get("/project").json()["deidentify"] == "keep"
    assert case["deidentification"] is None
    assert case["patient"]["id"] == MRN
    assert client.get(f"/cases/{case['id']}/files/0").content == data


def test_nothing_of_who_it_is_is_stored(pseudonymising: httpx.Client, stored: Stored, services: Any) -> None:
    files = [dicom_bytes(identified(n)) for n in (1, 2)]
    answer = pseudonymising.post("/cases", files=multipart(sent(), *files), headers={"Idempotency-Key": f"send {MRN}"})
    case = answer.raise_for_status().json()
    assert case["patient"]["age_years"] == 90
    assert case["note"].startswith("Mr. [NAME], MRN [ID], came on [DATE 20")
    assert [f["name"] for f in case["files"]] == ["file-1.dcm", "file-2.dcm"]
    assert case["files"][0]["attributes"]["series_uid"] == case["files"][1]["attributes"]["series_uid"] != SERIES
    held = (everything_stored(stored, services) + answer.text).lower()
    assert [
        trace
        for trace in ("quillfeather", "barnaby", "7001842", ACCESSION.lower(), "oxenstierna", SERIES)
        if trace in held
    ] == []


def test_the_report_says_what_was_removed(pseudonymising: httpx.Client) -> None:
    data = dicom_bytes(identified())
    told = pseudonymising.post("/cases", files=multipart(sent(), data)).json()["deidentification"]
    assert told["mode"] == "pseudonymise"
    assert told["attributes"]["emptied"]["PatientName (0010,0010)"] == 1
    assert told["note"] == {"DATE": 1, "ID": 1, "NAME": 1, "PHONE": 1}
    assert "/patient/id" in told["fields"]


def test_dates_of_case_note_and_files_move_together(pseudonymising: httpx.Client) -> None:
    case = pseudonymising.post(
        "/cases", files=multipart(sent(acquired_at="2026-03-02T10:00:00Z"), dicom_bytes(identified()))
    ).json()
    ds = pydicom.dcmread(BytesIO(pseudonymising.get(f"/cases/{case['id']}/files/0").content))
    day = case["acquired_at"][:10]
    assert day != "2026-03-02"
    assert f"[DATE {day}]" in case["note"]
    assert ds.SeriesDate == day.replace("-", "")


def test_cases_of_one_patient_stay_together_and_are_found_by_the_real_id(pseudonymising: httpx.Client) -> None:
    first, second = (pseudonymising.post("/cases", json=sent() | {"external_id": f"acc-{n}"}).json() for n in (1, 2))
    other = pseudonymising.post("/cases", json=case_json(external_id="acc-3")).json()
    assert first["patient"] == second["patient"]
    assert first["patient"]["id"].startswith("p-")
    assert first["patient"]["id"] != other["patient"]["id"]
    found = pseudonymising.post("/cases/search", json={"q": MRN}).json()["items"]
    assert {c["id"] for c in found} == {first["id"], second["id"]}
    assert [c["id"] for c in pseudonymising.post("/cases/search", json={"q": "acc-2"}).json()["items"]] == [
        second["id"]
    ]
    assert pseudonymising.post("/cases/counts", json={"q": MRN}).json()["all"] == 2


def test_an_external_id_is_known_again_without_being_stored(pseudonymising: httpx.Client) -> None:
    pseudonymising.post("/cases", json=sent()).raise_for_status()
    again = pseudonymising.post("/cases", json=sent(acquired_at="2026-03-09T10:00:00Z"))
    assert again.status_code == 409
    assert ACCESSION not in again.text


@pytest.mark.parametrize(("before", "after"), [("keep", "pseudonymise"), ("pseudonymise", "keep")])
def test_what_came_before_is_known_again_after_the_project_changed_its_mind(
    client: httpx.Client, before: str, after: str
) -> None:
    client.patch("/project", json={"deidentify": before}).raise_for_status()
    key = {"Idempotency-Key": "k-1"}
    first = client.post("/cases", json=sent(), headers=key).raise_for_status().json()
    client.patch("/project", json={"deidentify": after}).raise_for_status()
    assert client.post("/cases", json=sent(), headers=key).json()["id"] == first["id"]
    assert client.post("/cases", json=sent(note="another"), headers=key).status_code == 422
    assert client.post("/cases", json=sent()).status_code == 409
    assert client.get(f"/cases/{first['id']}").json() == first


def test_a_changed_note_is_masked_too(pseudonymising: httpx.Client) -> None:
    case = pseudonymising.post("/cases", json=sent()).json()
    change = {"note": "Seen again 2026-03-09 by Dr. Oxenstierna.", "acquired_at": "2026-03-09T08:00:00Z"}
    changed = pseudonymising.patch(f"/cases/{case['id']}", json=change).raise_for_status().json()
    assert changed["note"] == f"Seen again [DATE {changed['acquired_at'][:10]}] by Dr. [NAME]."
    assert changed["acquired_at"][:10] != "2026-03-09"
    assert changed["deidentification"]["note"] == {"DATE": 1, "NAME": 1}


def test_a_case_that_says_who_it_is_about_is_refused_without_its_values(refusing: httpx.Client) -> None:
    answer = refusing.post("/cases", files=multipart(sent(), png(), dicom_bytes(identified())))
    assert answer.status_code == 422
    pointers = {e["pointer"]: e["detail"] for e in answer.json()["errors"]}
    assert set(pointers) == {"/patient/age_years", "/note", "/files/1"}
    assert "PatientName (0010,0010)" in pointers["/files/1"]
    assert [t for t in ("uillfeather", "7001842", "Oxenstierna", "555-123") if t in answer.text] == []
    assert refusing.get("/cases").json()["items"] == []


def test_what_was_de_identified_is_taken_as_it_is(client: httpx.Client) -> None:
    client.patch("/project", json={"deidentify": "pseudonymise"}).raise_for_status()
    case = client.post("/cases", files=multipart(sent(), dicom_bytes(identified()))).json()
    clean = client.get(f"/cases/{case['id']}/files/0").content
    client.patch("/project", json={"deidentify": "refuse"}).raise_for_status()
    taken = client.post("/cases", files=multipart(case_json(note="fever"), clean)).raise_for_status().json()
    assert client.get(f"/cases/{taken['id']}/files/0").content == clean
    assert taken["deidentification"]["mode"] == "refuse"
    refused = client.patch(f"/cases/{taken['id']}", json={"note": "Dr. Oxenstierna saw her"})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/note"


def test_bytes_that_decode_and_cannot_be_rewritten_are_a_422_and_nothing_is_stored(
    pseudonymising: httpx.Client, stored: Stored
) -> None:
    before = state_of(stored)
    broken = png()[:-20]
    assert pseudonymising.post("/cases", files=multipart(sent(), broken)).status_code == 422
    assert state_of(stored) == before


def test_only_an_admin_says_what_a_project_does_with_identity(client_as: Callable[[str], httpx.Client]) -> None:
    assert client_as("trainer").patch("/project", json={"deidentify": "refuse"}).status_code == 403
    assert client_as("admin").patch("/project", json={"deidentify": "shred"}).status_code == 422
    changed = client_as("admin").patch("/project", json={"deidentify": "refuse"}).json()
    assert changed["deidentify"] == "refuse"
    assert changed["read_first"] is False
    entry = client_as("admin").get("/audit", params={"action": "project.change"}).json()["items"][0]
    assert entry["detail"] == {"deidentify": "refuse"}
    assert client_as("stranger").get("/project").json()["deidentify"] == "keep"


def test_a_policy_that_cannot_be_read_stores_nothing(settings: Any, tmp_path: Any) -> None:
    from api.problems import NotReady
    from api.services import build
    from clinical_mm.importing.case_json import CaseDocument

    (tmp_path / "policy.yaml").write_text("retain: [everything]\n")
    built = build(
        settings.model_copy(update={"deidentify": "pseudonymise", "deidentify_policy": tmp_path / "policy.yaml"})
    )
    try:
        caller = built.access.operator("default")
        with pytest.raises(NotReady, match="nothing is stored"):
            built.cases.submit(caller, CaseDocument.model_validate(sent()))
        assert built.cases.ids(caller) == set()
    finally:
        built.close()
