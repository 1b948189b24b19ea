"""Real DICOM files over HTTP: each enters, with a preview, or is refused with 415 or 422 and a reason that names it."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.api.cases.test_submit import multipart
from tests.api.conftest import case_json

REFUSED = {
    "fo-dicom__chrJapMulti.dcm": "no pixel data",
    "pydicom__MR_truncated.dcm": "",
    "pydicom__badVR.dcm": "",
    "pydicom__rtplan.dcm": "",
}
"""File -> a part of the reason. docs/dicom_support.md shows the same list."""


def test_each_real_file_enters_or_is_refused_with_a_reason(client: httpx.Client, shared_data: Path) -> None:
    files = sorted(p for p in (shared_data / "dicom").iterdir() if p.suffix != ".csv")
    assert len(files) >= 10
    for number, path in enumerate(files):
        case = case_json(external_id=f"real-{number}")
        answer = client.post("/cases", **multipart(case, (path.name, path.read_bytes())))
        if path.name in REFUSED:
            assert answer.status_code in {415, 422}, path.name
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert answer.json()["errors"][0]["pointer"] == "/files/0"
            assert REFUSED[path.name] in answer.text.lower()
        else:
            assert answer.status_code == 201, f"{path.name}: {answer.text}"
            preview = answer.json()["files"][0]["preview"].removeprefix("/v1")
            assert client.get(preview).raise_for_status().content.startswith(b"\x89PNG")
