"""Files that want to do harm: each is named with the limit that it met, and the next caller notices nothing."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from api.ground.spool import SpoolFile
from api.settings import Settings
from tests.api.cases.test_submit import multipart
from tests.api.conftest import case_json, png
from tests.api.stored import Stored, state_of
from tests.clinical_mm.pictures.dicoms import dicom, ramp
from tests.clinical_mm.pictures.test_refusals import nested
from tests.decoding import decoder_processes


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Limits low enough to be met by small files."""
    return settings.model_copy(
        update={"max_file_mb": 1, "max_frames": 3, "max_pixel_values": 100_000, "max_nesting": 12, "max_elements": 200}
    )


def elements(count: int) -> bytes:
    """A film whose header has so many elements more."""
    film = dicom(ramp())
    at = film.index(b"\x10\0\x10\0PN")
    more = b"".join(b"\x09\0" + (0x1000 + n).to_bytes(2, "little") + b"LO\0\0" for n in range(count))
    return film[:at] + more + film[at:]


WIDE = np.zeros((400, 300), np.uint16)
TOO_MUCH: dict[str, tuple[bytes, int, str]] = {
    "frames.dcm": (dicom(np.stack([ramp()] * 4)), 422, "4 frames; at most 3"),
    "pixels.dcm": (dicom(WIDE), 422, "120,000 pixel values; at most 100,000"),
    "pixels.png": (png(1, 400), 422, "160,000 pixel values; at most 100,000"),
    "nested.dcm": (nested(14, undefined=True), 422, "nest more than 12 deep"),
    "elements.dcm": (elements(300), 422, "more than 200 elements"),
    "bytes.dcm": (dicom(ramp()) + bytes(2**20), 413, "larger than 1 MB"),
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_what_asks_for_too_much_is_named_with_the_limit_and_stores_nothing(
    client: httpx.Client, stored: Stored, settings: Settings, name: str
) -> None:
    data, status, limit = TOO_MUCH[name]
    before = state_of(stored)
    answer = client.post("/cases", **multipart(case_json(), ("good.dcm", dicom(ramp())), (name, data)))
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json"), answer.text
    assert answer.json()["errors"][0]["pointer"].startswith("/files")
    assert name not in answer.text, "a name may be a patient's"
    assert limit in answer.json()["detail"]
    assert state_of(stored) == before
    assert list(settings.spool_folder.iterdir()) == []


def test_a_file_that_crashes_its_decoder_is_named_and_the_next_upload_works(
    client: httpx.Client, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a fault in a codec would do, at a moment when it reads: the decoder is stopped there, then hit."""
    client.post("/cases", **multipart(case_json(external_id="warm"), ("a.png", png(1)))).raise_for_status()
    before = state_of(stored)
    for process in decoder_processes():
        process.suspend()
        threading.Timer(0.5, lambda hit=process: (hit.send_signal(signal.SIGSEGV), hit.resume())).start()
    answer = client.post("/cases", **multipart(case_json(), ("evil.png", png(2))))
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"] == "/files/0"
    assert "SIGSEGV" in answer.json()["detail"]
    assert state_of(stored) == before
    assert client.post("/cases", **multipart(case_json(), ("good.png", png(3)))).status_code == 201


def test_files_leave_the_spool_with_their_request_however_it_ends(client: httpx.Client, settings: Settings) -> None:
    good, bad = ("a.png", png(1)), ("b.txt", b"no picture")
    for files, status in (([good], 201), ([good, bad], 415), ([good, ("c.png", bytes(2**20 + 1))], 413)):
        assert client.post("/cases", **multipart(case_json(external_id=None), *files)).status_code == status
        assert list(settings.spool_folder.iterdir()) == []
    assert client.post("/cases", files=[("case", (None, "{")), ("files", good)]).status_code == 400
    assert list(settings.spool_folder.iterdir()) == []


def test_a_case_that_is_sent_as_a_file_may_be_no_longer_than_one_sent_as_text(
    client: httpx.Client, services: Any, settings: Settings
) -> None:
    long = b'{"note": "' + b" " * (settings.max_json_mb * 2**20) + b'"}'
    assert client.post("/cases", files=[("case", ("case.json", long))]).status_code == 413
    assert client.post("/cases", content=long, headers={"Content-Type": "application/json"}).status_code == 413
    assert client.post("/cases", content=long, headers={"Content-Type": "text/plain"}).status_code == 415


def test_a_body_of_a_million_empty_values_is_refused_at_once(client: httpx.Client) -> None:
    started = time.monotonic()
    answer = client.post("/cases", content=b"[" + b"[]," * 2**20 + b"1]", headers={"Content-Type": "application/json"})
    assert (answer.status_code, "JSON values" in answer.json()["detail"]) == (400, True)
    assert time.monotonic() - started < 2


def test_a_note_full_of_commas_is_no_such_body(client: httpx.Client) -> None:
    assert client.post("/cases", json=case_json(note="Fever, cough, " * 20_000)).status_code == 201


def test_a_stored_file_is_never_shown_as_anything_that_runs(client: httpx.Client) -> None:
    film = dicom(ramp(), InstitutionName="<script>alert(1)</script>")
    case = client.post("/cases", **multipart(case_json(), ('a"; x=.html', film))).raise_for_status().json()
    for path in ("files/0", "files/0/preview.png", "files/0/raw"):
        headers = client.get(f"/cases/{case['id']}/{path}").raise_for_status().headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; ")
        assert headers["Content-Security-Policy"].endswith("; sandbox")
        assert headers["Content-Type"] in {"application/dicom", "image/png", "application/octet-stream"}
    sent = client.get(f"/cases/{case['id']}/files/0")
    assert sent.content == film
    assert sent.headers["Content-Disposition"].startswith("attachment; filename=")


def test_a_spooled_file_is_no_blob_until_the_case_is_stored(
    client: httpx.Client, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Path] = []
    discard = SpoolFile.discard

    def note(self: SpoolFile) -> None:
        seen.append(self.path)
        discard(self)

    monkeypatch.setattr(SpoolFile, "discard", note)
    twice = ("a.png", png(5))
    case = client.post("/cases", **multipart(case_json(), twice, twice)).raise_for_status().json()
    assert len(seen) == 2
    assert not any(path.exists() for path in seen)
    assert [client.get(f"/cases/{case['id']}/files/{n}").content for n in (0, 1)] == [png(5)] * 2
    assert len(state_of(stored).blobs) == 1
