"""The note in the browser: phrases marked, what is denied told as such without colour, a long note quick."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.api.pages.conftest import Ward

pytestmark = pytest.mark.browser

BADGE = "mark => getComputedStyle(mark, '::before').content"


def test_what_the_note_denies_doubts_or_tells_of_others_carries_a_badge(clinician: Page, ward: Ward) -> None:
    note = "No fever or chills. Productive cough with green sputum. ? febrile at home. Father had swollen ankles."
    clinician.goto(f"{ward.url}/cases/{ward.explained_in_words(note)}")
    text = clinician.locator(".note .text")
    assert text.inner_text() == note  # the badge is no part of the text
    assert text.locator("mark.negated").all_inner_texts() == ["No fever or chills"]
    assert text.locator("mark.uncertain").all_inner_texts() == ["? febrile at home"]
    assert text.locator("mark.other").all_inner_texts() == ["Father had swollen ankles"]
    assert "denied" in text.locator("mark.negated").evaluate(BADGE)
    assert "denied" in (text.locator("mark.negated").get_attribute("title") or "")
    expect(clinician.locator(".note .legend")).to_contain_text("denied")
    affirmed = text.locator("mark", has_text="Productive cough with green sputum")
    expect(affirmed).to_have_count(1)
    assert affirmed.evaluate(BADGE) == "none"


def test_the_strongest_phrases_are_told_in_text_with_their_sums(clinician: Page, ward: Ward) -> None:
    case_id = ward.explained_in_words("No fever or chills. Productive cough with green sputum.")
    explanation = ward.services.explanations.of_prediction(
        ward.admin, ward.services.predictions.of_case(ward.admin, case_id)[0].id
    )[0]
    clinician.goto(f"{ward.url}/cases/{case_id}")
    strongest = max(explanation.phrases, key=lambda p: abs(p.attribution))
    first = clinician.locator(".note .strongest .said").first
    expect(first).to_contain_text(strongest.text)
    expect(first).to_contain_text(f"{abs(strongest.attribution):.2f}")


def test_a_note_of_ten_thousand_words_is_whole_and_has_few_elements(clinician: Page, ward: Ward) -> None:
    note = "Denies fever but has had a productive cough. " * 1250
    clinician.goto(f"{ward.url}/cases/{ward.explained_in_words(note)}")
    assert clinician.locator(".note .text").inner_text() == note
    assert 1250 <= clinician.locator(".note mark").count() <= 1250 + 200 + 5
    assert clinician.evaluate("document.documentElement.scrollHeight") <= 900
