"""Every file is shown to a virus scanner before it is stored: a real clamd, that knows one mark."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from api.bulk.carrying_out import BulkJob
from api.ground.scanner import Scanner, ScannerAway
from api.problems import Invalid
from api.settings import Settings
from clinical_mm.case import Case
from tests.api.bulk.conftest import Work, work
from tests.api.bulk.test_imports import lines, results, sent
from tests.api.cases.test_submit import multipart
from tests.api.conftest import case_json, png
from tests.api.observing.conftest import Scrape, scrape
from tests.api.stored import Stored, state_of
from tests.clamd import LARGEST, LARGEST_LOOKED_INTO, MARK, SIGNATURE, running_clamd
from tests.clinical_mm.pictures.dicoms import dicom, ramp

__all__ = ["scrape", "work"]  # fixtures of other rooms
FOUND = f"{SIGNATURE}.UNOFFICIAL"


@pytest.fixture(scope="module")
def clamd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_clamd(tmp_path_factory.mktemp("clamd")) as address:
        yield address


@pytest.fixture
def settings(settings: Settings, clamd: str) -> Settings:
    """A service beside that scanner."""
    return settings.model_copy(update={"clamd": clamd})


def marked() -> bytes:
    """A film like any other, which every decoder reads, with the mark in a text of its header."""
    return dicom(ramp(), ImageComments=MARK.decode())


def test_a_file_with_a_virus_is_named_with_its_signature_and_nothing_is_stored(
    client: httpx.Client, stored: Stored, scrape: Scrape, caplog: pytest.LogCaptureFixture
) -> None:
    before = state_of(stored)
    sent = multipart(case_json(), ("good.png", png()), ("folder/Quillfeather.dcm", marked()))
    with caplog.at_level(logging.WARNING, "api"):
        answer = client.post("/cases", **sent)
    assert (answer.status_code, answer.headers["Content-Type"]) == (422, "application/problem+json"), answer.text
    assert answer.json()["errors"] == [
        {"pointer": "/files/1", "detail": f"Quillfeather.dcm: the virus scanner finds {FOUND}"}
    ]
    assert state_of(stored) == before
    assert scrape()['clinical_mm_scanned_files_total{result="infected"}'] == 1
    assert scrape()['clinical_mm_scanned_files_total{result="clean"}'] == 1
    [told] = client.get("/audit", params={"action": "case.submit"}).json()["items"]
    assert (told["result"], told["detail"]) == ("422", {"infected": [FOUND]})
    assert FOUND in caplog.text
    assert "Quillfeather" not in caplog.text + json.dumps(told)


def test_clean_files_are_stored_as_they_came(client: httpx.Client) -> None:
    films = [dicom(ramp()), png()]
    case = client.post("/cases", **multipart(case_json(), ("a.dcm", films[0]), ("b.png", films[1])))
    assert case.status_code == 201, case.text
    for n, film in enumerate(films):
        assert client.get(f"/cases/{case.json()['id']}/files/{n}").content == film


def test_what_the_scanner_does_not_take_does_not_come_in(client: httpx.Client, stored: Stored, scrape: Scrape) -> None:
    """Larger than clamd's StreamMaxLength: it says so and hangs up."""
    before, large = state_of(stored), png(size=400)
    assert len(large) > LARGEST
    answer = client.post("/cases", **multipart(case_json(), ("large.png", large)))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10"), answer.text
    assert state_of(stored) == before
    assert scrape()['clinical_mm_scanned_files_total{result="unknown"}'] == 1


def test_what_the_scanner_takes_and_does_not_look_into_does_not_come_in(client: httpx.Client) -> None:
    """Larger than clamd's MaxFileSize: with ``AlertExceedsMax yes``, as the manual says, that is a finding."""
    large = png(size=230)
    assert LARGEST_LOOKED_INTO < len(large) < LARGEST
    answer = client.post("/cases", **multipart(case_json(), ("large.png", large)))
    assert (answer.status_code, "Limits.Exceeded" in answer.text) == (422, True), answer.text


@pytest.fixture
def scanner_away(services: Any) -> Callable[[], None]:
    def leave() -> None:
        object.__setattr__(services.ground, "scanner", Scanner("127.0.0.1:1", 1))

    return leave


def test_without_its_scanner_the_service_takes_no_file_and_everything_else(
    client: httpx.Client, stored: Stored, scanner_away: Callable[[], None], server_url: str
) -> None:
    scanner_away()
    before = state_of(stored)
    answer = client.post("/cases", **multipart(case_json(), ("a.png", png())))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10"), answer.text
    answer = client.post("/case-imports", **sent(lines({**case_json(), "files": ["1.png"]}), **{"1.png": png()}))
    assert answer.status_code == 503, answer.text
    assert state_of(stored) == before
    assert client.post("/cases", json=case_json()).status_code == 201, "a case without files"


def test_an_import_with_a_virus_is_refused_whole(client: httpx.Client, stored: Stored) -> None:
    before = state_of(stored)
    body = lines({**case_json(external_id="a"), "files": ["1.dcm"]}, case_json(external_id="b"))
    answer = client.post("/case-imports", **sent(body, **{"1.dcm": marked()}))
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/files/0"), answer.text
    assert FOUND in answer.json()["detail"]
    assert state_of(stored) == before


def test_a_line_whose_file_is_known_as_a_virus_by_then_is_refused(
    client: httpx.Client, services: Any, clamd: str, work: Work
) -> None:
    """Files of an import are scanned again when their turn comes, by the signatures of that day."""
    object.__setattr__(services.ground, "scanner", None)
    body = lines({**case_json(external_id="a"), "files": ["1.dcm"]}, case_json(external_id="b"))
    run = client.post("/case-imports", **sent(body, **{"1.dcm": marked()})).raise_for_status().json()["id"]
    object.__setattr__(services.ground, "scanner", Scanner(clamd, 10))
    work(run)
    told = {one["line"]: one for one in results(client, run)}
    assert {n: one["outcome"] for n, one in told.items()} == {1: "refused", 2: "accepted"}
    assert FOUND in told[1]["reason"]


def test_a_line_waits_for_a_scanner_that_is_away(
    client: httpx.Client, services: Any, clamd: str, work: Work, scanner_away: Callable[[], None]
) -> None:
    from api.training.worker import _is_outage

    body = lines({**case_json(external_id="a"), "files": ["1.png"]})
    run = client.post("/case-imports", **sent(body, **{"1.png": png()})).raise_for_status().json()["id"]
    scanner_away()
    with pytest.raises(ScannerAway) as away:
        work(run)
    assert _is_outage(away.value), "the worker tries again"
    object.__setattr__(services.ground, "scanner", Scanner(clamd, 10))
    job = BulkJob(services.ground, services.cases, services.predictions)
    [item] = job._waiting(run)
    assert item.outcome is None


def test_what_the_command_line_brings_is_scanned_too(services: Any) -> None:
    case = Case.from_files(note="Fever.", images=[marked()])
    with pytest.raises(Invalid, match="the virus scanner finds"):
        services.cases.submit_case(services.access.operator("default"), case)


def test_readiness_and_doctor_tell_of_the_scanner(
    client: httpx.Client, services: Any, settings: Settings, server_url: str, scanner_away: Callable[[], None]
) -> None:
    from api.cli.doctor import _scanner

    told = httpx.get(f"{server_url}/readyz").json()["checks"]["scanner"]
    assert (told["state"], told["detail"]) == ("ok", "the virus scanner answers")
    assert _scanner(settings)[0] == "ok"
    assert "ClamAV" in _scanner(settings)[1]
    assert _scanner(settings.model_copy(update={"clamd": ""})) == (
        "ok",
        "none: files come in unscanned (CLINICAL_MM_CLAMD is not set)",
    )
    state, detail = _scanner(settings.model_copy(update={"clamd": "127.0.0.1:1"}))
    assert (state, "does not answer" in detail, "CLINICAL_MM_CLAMD" in detail) == ("fail", True, True)
