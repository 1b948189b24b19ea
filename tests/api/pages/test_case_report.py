"""The report to take away: one sheet a case, complete, honest about what it leaves out."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from api.access.service import Role
from api.explanations.schemas import ExplanationOut
from api.pages.case_report import account, shortened
from api.pages.words import Piece
from api.reviews.schemas import ReviewIn
from clinical_mm.case import Case, Patient
from tests.api.pages.conftest import Ward

browser = pytest.mark.browser
HOSTILE = "<script>window.hurt=1</script><img src=x onerror='window.hurt=1'>"


def open_report(page: Page, ward: Ward, case_id: str) -> Page:
    page.goto(f"{ward.url}/cases/{case_id}/report")
    expect(page.locator(".sheet")).to_be_visible()
    return page


def sheets(page: Page, paper: str) -> int:
    """How many pages the browser prints."""
    return len(re.findall(rb"/Type\s*/Page\b(?!s)", page.pdf(format=paper)))


@browser
def test_a_case_prints_on_one_sheet_with_what_was_said_and_by_whom(clinician: Page, ward: Ward) -> None:
    case_id = ward.explained_case()
    prediction = ward.services.predictions.of_case(ward.admin, case_id)[0]
    said = ReviewIn(prediction=prediction.id, verdict="override", diagnoses=["covid-19"], comment="PCR positive.")
    ward.services.reviews.create(ward.admin, case_id, said)
    sheet = open_report(clinician, ward, case_id).locator(".sheet")
    for told in (
        "Decision support, not a diagnosis. Not a medical device.",
        "SYNTHETIC",
        prediction.diagnoses[0].display,
        "integrated gradients",
        "before any evidence",
        prediction.model,
        "Override: COVID-19",
        "PCR positive.",
        "by Dr. clinician",
    ):
        expect(sheet).to_contain_text(told)
    assert clinician.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert sheet.locator(".over circle").count() > 0
    assert (sheets(clinician, "A4"), sheets(clinician, "Letter")) == (1, 1)


@browser
def test_it_is_reached_from_the_case_and_prints_by_a_button(clinician: Page, ward: Ward) -> None:
    clinician.add_init_script("window.print = () => { window.printed = true }")
    clinician.goto(f"{ward.url}/cases/{ward.explained_case()}")
    clinician.get_by_role("link", name="Report", exact=True).click()
    clinician.get_by_role("button", name="Print").click()
    assert clinician.evaluate("window.printed") is True


@browser
def test_what_a_case_does_not_have_is_said(clinician: Page, ward: Ward) -> None:
    sheet = open_report(clinician, ward, ward.note_only("Fever.")).locator(".sheet")
    for told in ("No image in this case.", "No vitals or labs in this case.", "Not predicted.", "Not reviewed."):
        expect(sheet).to_contain_text(told)
    bare = ward.submit(Case(patient=Patient("p-1"), vitals={"spo2": 88.0}))
    ward.services.predictions.create(ward.admin, bare)
    sheet = open_report(clinician, ward, bare).locator(".sheet")
    for told in ("No note in this case.", "the probabilities rest on vitals alone", "88 % ▼", "Not explained."):
        expect(sheet).to_contain_text(told)


@browser
def test_a_long_note_is_cut_where_it_says_and_the_sheet_stays_one(clinician: Page, ward: Ward) -> None:
    note = "Denies fever but has had a productive cough. " * 1300
    case_id = ward.explained_in_words(note)
    text = open_report(clinician, ward, case_id).locator(".note .text").inner_text()
    kept, _, told = text.partition(" [… cut here: ")
    assert note.startswith(kept)
    assert told == f"{len(note) - len(kept):,} characters more in the case]"
    assert sheets(clinician, "A4") == 1


@browser
def test_hostile_text_is_printed_and_never_run(clinician: Page, ward: Ward) -> None:
    case_id = ward.note_only(f"Fever {HOSTILE}.", patient=f"p {HOSTILE}")
    ward.services.reviews.create(ward.admin, case_id, ReviewIn(verdict="unsure", comment=HOSTILE))
    open_report(clinician, ward, case_id)
    expect(clinician.locator(".note .text")).to_contain_text(HOSTILE)
    expect(clinician.locator("q")).to_contain_text(HOSTILE)
    assert clinician.evaluate("window.hurt") is None
    assert clinician.locator(".sheet script, .sheet img").count() == 0


@browser
def test_nobody_reads_it_without_a_key_and_a_case_that_is_not_there_has_none(
    context: Any, sign_in: Any, ward: Ward
) -> None:
    case_id = ward.note_only("Fever.")
    stranger = context.new_page()
    stranger.goto(f"{ward.url}/cases/{case_id}/report")
    assert "/sign-in" in stranger.url
    answer = sign_in(Role.VIEWER).goto(f"{ward.url}/cases/case_nothing/report")
    assert answer.status == 404


def test_a_note_is_cut_between_words_and_never_inside_a_phrase() -> None:
    pieces = [Piece("She has "), Piece("no fever", -0.2, 1, "negated"), Piece(" and some more to say")]
    assert shortened(pieces, 100) == (pieces, 0)
    kept, left_out = shortened(pieces, 26)
    assert "".join(p.text for p in kept) == "She has no fever and"
    assert left_out == len(" some more to say")
    assert "".join(p.text for p in shortened(pieces, 12)[0]) == "She has "


def test_the_account_says_the_sum_in_words() -> None:
    explanation = ExplanationOut.model_construct(baseline_value=-2.0, value=0.0)
    shares = [
        {"display": "Image", "present": True, "contribution": -0.5},
        {"display": "Note", "present": True, "contribution": 2.5},
        {"display": "Vitals", "present": False, "contribution": 0.0},
    ]
    assert account(explanation, shares).replace("\u202f", " ") == (
        "−2.00 (12 %) before any evidence; the note adds 2.50, the image takes away 0.50; together +0.00 (50 %)."
    )
