"""Nothing that was said of a patient gets into the trail, wherever a caller puts it, in good calls and bad."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest

from api.audit.chain import EVENTS
from api.audit.export import export
from api.audit.stored import entries
from api.ground.secret import trail_key
from api.settings import Settings
from clinical_mm.case import Case
from tests.api.cases.test_submit import multipart
from tests.api.conftest import case_json

CANARY = "Zanzibar"


def tagged(case: Case) -> bytes:
    """A DICOM object whose tags name the patient."""
    dataset = pydicom.dcmread(BytesIO(case.images[0].read()))
    dataset.PatientName, dataset.PatientID, dataset.InstitutionName = f"{CANARY}^A", f"{CANARY}-1", f"{CANARY} ward"
    out = BytesIO()
    dataset.save_as(out)
    return out.getvalue()


@pytest.fixture
def talked(client_as: Callable[[str], httpx.Client], server_url: str, phantom_cases: list[Case]) -> int:
    """Calls that hold the canary wherever a caller can put one; how many there were."""
    client, seen = client_as("admin"), []
    client.event_hooks["response"].append(lambda answer: seen.append(answer.status_code))
    said = case_json(external_id=f"{CANARY}-acc", note=f"{CANARY} coughs.", patient={"id": f"{CANARY}-7"})
    case = client.post("/cases", **multipart(said, (f"{CANARY}.dcm", tagged(phantom_cases[0])))).json()["id"]
    client.post("/cases", **multipart(said, (f"{CANARY}.dcm", b"not a picture")))
    client.post("/cases", json={**said, CANARY: 1})
    client.patch(f"/cases/{case}", json={"note": f"{CANARY} sneezes.", "vitals": {CANARY: 1}})
    client.patch(f"/cases/{case}", json={"note": f"{CANARY} sneezes."})
    client.post(f"/cases/{case}/reviews", json={"verdict": "override", "diagnoses": [], "comment": f"{CANARY} is well"})
    client.post(f"/cases/{case}/reviews", json={"verdict": CANARY})
    client.get("/cases", params={"q": CANARY})
    for path in ("/cases/search", "/cases/counts"):
        client.post(path, json={"q": CANARY})
        client.post(path, json={"q": CANARY, CANARY: 1})
    client.get("/cases", params={"q": CANARY, "limit": 0})
    client.get("/cases/counts", params={"q": CANARY})
    client.get(f"/cases/{CANARY}")
    client.get(f"/cases/case_{CANARY.lower()}00000000000")
    client.get(f"/cases/{case}/files/{CANARY}")
    client.get(f"/cases/{case}/files/0")
    client.get("/audit", params={"object_id": CANARY})
    client.get(f"/{CANARY}")
    client.post("/keys", json={"role": CANARY, "name": "x"})
    client.delete(f"/keys/{CANARY}")
    headers = dict(client.headers)
    with httpx.Client(base_url=server_url, headers=headers, event_hooks=client.event_hooks) as web:
        web.get("/", params={"q": CANARY, "diagnosis": CANARY})
        web.post("/search", data={"q": CANARY})
        web.get(f"/cases/{case}", params={"target": CANARY, "q": CANARY})
        web.get(f"/cases/{CANARY}")
        web.post(f"/cases/{case}/review", data={"comment": CANARY, "verdict": "unsure"})
        web.get("/audit", params={"object_id": CANARY})
        web.get("/sign-in", params={"token": CANARY, "next": f"/{CANARY}"})
    assert 201 in seen
    assert {404, 415, 422} <= set(seen)
    return len(seen)


def test_no_canary_is_in_the_trail_nor_in_its_export(
    talked: int, services: Any, settings: Settings, tmp_path: Path
) -> None:
    with services.ground.database.engine.connect() as connection:
        rows = connection.execute(EVENTS.select()).all()
    assert len(rows) >= talked - 1  # the address that is no route touches nothing
    assert CANARY.lower() not in str(rows).lower()
    file = tmp_path / "export.jsonl"
    assert export(entries(services.ground.database), file, trail_key(settings.workspace)) == len(rows)
    assert CANARY.lower() not in file.read_text().lower()
