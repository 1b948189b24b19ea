"""The page on which an admin says what is done with identity, and what a case's page tells of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from api.access.schemas import ProjectChange
from api.access.service import Role
from api.cases.intake import spool
from clinical_mm.importing.case_json import CaseDocument
from tests.api.conftest import case_json
from tests.api.pages.conftest import Ward
from tests.identified import dicom_bytes, identified, with_text

pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def kept_afterwards(ward: Ward) -> Iterator[None]:
    yield
    ward.services.projects.change(ward.admin, ProjectChange(deidentify="keep"))


def test_an_admin_chooses_and_cases_that_come_later_tell_what_was_removed(
    sign_in: Callable[[Role], Page], ward: Ward
) -> None:
    page = sign_in(Role.ADMIN)
    page.get_by_role("link", name="Project").click()
    expect(page.get_by_role("radio", name="Keep")).to_be_checked()
    page.get_by_role("radio", name="Pseudonymise").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_have_text("Saved.")
    pixels = with_text(np.zeros((256, 256), dtype=np.uint16) + np.arange(256, dtype=np.uint16), "QUILLFEATHER B 1931")
    film = dicom_bytes(identified(pixels=pixels))
    sent = CaseDocument.model_validate(case_json(external_id="identity-page", note="Dr. Oxenstierna saw him."))
    with ExitStack() as until:
        upload = spool(ward.services.ground.spool, "q.dcm", film, until)
        stored = ward.services.cases.submit(ward.admin, sent, [upload])
    page.goto(f"{ward.url}/cases/{stored.case.id}")
    told = page.locator(".identity")
    expect(told).to_contain_text("Image 1 may show text in its pixels")
    told.get_by_text("What was removed").click()
    expect(told).to_contain_text("PatientName (0010,0010)")
    expect(told).to_contain_text("Note: 1 name masked")
    expect(page.locator("main")).not_to_contain_text(re.compile("quillfeather|oxenstierna", re.IGNORECASE))


def test_who_is_no_admin_sees_no_such_page(sign_in: Callable[[Role], Page], ward: Ward) -> None:
    page = sign_in(Role.TRAINER)
    expect(page.get_by_role("link", name="Project")).to_have_count(0)
    assert page.goto(f"{ward.url}/project").status == 403  # type: ignore[union-attr]


def test_words_that_were_searched_for_stand_in_no_address(sign_in: Callable[[Role], Page], ward: Ward) -> None:
    case_id = ward.whole_case()
    page = sign_in(Role.VIEWER)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_label("Search").fill(case_id)
    page.keyboard.press("Enter")
    page.wait_for_url("**/?*s=*")
    expect(page.locator("#q")).to_have_value(case_id)
    expect(page.locator("table.cases tbody tr")).to_have_count(1)
    page.get_by_label("Order").select_option("newest")
    page.wait_for_url("**/?*order=newest*")
    page.get_by_role("link", name="All", exact=False).first.click()
    expect(page.locator("#q")).to_have_value(case_id)
    expect(page.locator("table.cases tbody tr")).to_have_count(1)
    assert len(asked) > 4
    assert [address for address in asked if "q=" in address or f"={case_id}" in address] == []
    links = page.eval_on_selector_all("a[href*='s=']", "found => found.map(one => one.getAttribute('href'))")
    assert len(links) > 4
    assert [link for link in links if f"={case_id}" in link] == []


def test_words_of_an_address_are_sealed_on_the_way_to_the_sign_in(ward: Ward) -> None:
    client = httpx.Client(base_url=ward.url)
    where = client.get("/models?x=Quillfeather&order=newest").headers["Location"]
    assert "uillfeather" not in where
    key = ward.key(Role.VIEWER)[1]
    form = client.get(where).text
    token, back = (re.search(rf'name="{name}" value="([^"]+)"', form)[1] for name in ("csrf_token", "next"))  # type: ignore[index]
    answer = client.post("/sign-in", data={"csrf_token": token, "next": back, "key": key})
    assert answer.headers["Location"] == "/models?x=Quillfeather&order=newest"
    forged = client.post("/sign-in", data={"csrf_token": token, "next": "x" * 40, "key": key})
    assert forged.headers.get("Location", "/") == "/"
