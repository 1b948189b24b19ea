"""A page for every case: a long note, no image, no note, no vitals, nothing predicted."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Page, expect

from clinical_mm.case import Case, Patient
from clinical_mm.phantom import draw
from tests.api.pages.conftest import Ward

pytestmark = pytest.mark.browser

WORDS = 10_000


@pytest.mark.parametrize(
    ("absent", "said"),
    [
        ("images", "No image in this case."),
        ("note", "No note in this case."),
        ("vitals", "No vitals or labs in this case."),
    ],
)
def test_a_part_that_is_not_there_is_said_and_the_rest_is_shown(
    clinician: Page, ward: Ward, absent: str, said: str
) -> None:
    whole = next(d.case for d in draw(60, 5) if d.case.images and d.case.note and d.case.vitals)
    parts = {"images": whole.images, "note": whole.note, "vitals": whole.vitals}
    parts[absent] = {"images": (), "note": None, "vitals": {}}[absent]
    case_id = ward.submit(Case(patient=Patient("p-1"), **parts))
    ward.services.predictions.create(ward.admin, case_id)
    clinician.goto(f"{ward.url}/cases/{case_id}")
    expect(clinician.get_by_text(said)).to_be_visible()
    expect(clinician.get_by_text("the probabilities rest on")).to_be_visible()
    expect(clinician.locator(".shares tr.absent")).to_contain_text("nothing rests on it")
    assert clinician.locator("canvas").count() == (absent != "images")
    assert clinician.locator(".note .text").count() == (absent != "note")
    assert (clinician.locator(".vitals tbody tr").count() > 0) == (absent != "vitals")
    assert clinician.evaluate("document.documentElement.scrollHeight") <= 900


def test_a_case_without_prediction_or_explanation_says_what_is_not_known(clinician: Page, ward: Ward) -> None:
    case_id = ward.note_only("Fever.")
    clinician.goto(f"{ward.url}/cases/{case_id}")
    expect(clinician.get_by_text("Not predicted yet.")).to_be_visible()
    clinician.get_by_role("button", name="Predict").click()
    expect(clinician.get_by_text("Why is not known yet")).to_be_visible()


def test_a_note_of_10_000_words_scrolls_in_its_card_and_the_page_answers(clinician: Page, ward: Ward) -> None:
    note = " ".join(f"word{n}" for n in range(WORDS))
    clinician.goto(f"{ward.url}/cases/{ward.note_only(note)}")
    text = clinician.locator(".note .text")
    expect(text).to_contain_text(f"word{WORDS - 1}")
    assert text.evaluate("e => e.scrollHeight > 5 * e.clientHeight")
    assert clinician.evaluate("document.documentElement.scrollHeight") <= 900
    expect(clinician.locator(".review button[type=submit]")).to_be_in_viewport()
    started = time.perf_counter()
    clinician.keyboard.press("u")
    expect(clinician.get_by_label("Unsure")).to_be_checked()
    assert time.perf_counter() - started < 2
    text.focus()
    clinician.keyboard.press("End")  # the note's own key, not the picture's
    expect(text).not_to_have_js_property("scrollTop", 0)
