"""Reading first in the browser: the model's word stays hidden, in the page's source too, until the reader's own is kept."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from api.reviews.schemas import ReviewIn
from clinical_mm.phantom import draw
from tests.api.pages.conftest import Ward

pytestmark = pytest.mark.browser


@pytest.fixture
def explained(reading_ward: Ward) -> str:
    """A case that was predicted and explained, and confirmed by another reader."""
    case_id = reading_ward.explained_case()
    prediction = reading_ward.services.predictions.of_case(reading_ward.admin, case_id)[0]
    said = ReviewIn(verdict="confirm", prediction=prediction.id, diagnoses=["tuberculosis"], comment="As it says.")
    reading_ward.services.reviews.create(reading_ward.admin, case_id, said)
    return case_id


def test_nothing_of_what_the_model_says_is_in_the_page_before_the_readers_own_verdict(
    reader: Page, reading_ward: Ward, explained: str
) -> None:
    reader.goto(f"{reading_ward.url}/cases/{explained}")
    expect(reader.locator("section.diagnoses")).to_contain_text("Hidden until you have written your own verdict.")
    expect(reader.locator(".history")).to_have_count(0)
    expect(reader.get_by_text("1 earlier review shows after your own verdict.")).to_be_visible()
    source = reader.content()
    prediction = reading_ward.services.predictions.of_case(reading_ward.admin, explained)[0]
    [explanation] = reading_ward.services.explanations.of_prediction(reading_ward.admin, prediction.id)
    for told in (
        prediction.id,
        prediction.model,
        explanation.id,
        "<mark",
        "label:",
        "As it says.",
        "heatmap&#34;: &#34;",
    ):
        assert told not in source, told
    assert "/similar" not in source
    assert "/report" not in source
    assert reader.locator("section.diagnoses svg, section.diagnoses form, .shares").count() == 0


def test_no_page_behind_the_case_tells_it_either(reader: Page, reading_ward: Ward, explained: str) -> None:
    prediction = reading_ward.services.predictions.of_case(reading_ward.admin, explained)[0]
    [explanation] = reading_ward.services.explanations.of_prediction(reading_ward.admin, prediction.id)
    reader.goto(f"{reading_ward.url}/cases/{explained}")
    token = reader.locator("[name=csrf_token]").first.input_value()
    asked = reader.request
    address = f"{reading_ward.url}/cases/{explained}"
    answers = [
        asked.get(f"{address}/similar"),
        asked.get(f"{address}/report"),
        asked.get(f"{reading_ward.url}/explanations/{explanation.id}/images/0.png"),
        asked.post(f"{address}/predict", form={"csrf_token": token}),
        asked.post(f"{address}/predictions/{prediction.id}/explain", form={"csrf_token": token}),
        asked.post(f"{address}/review", form={"csrf_token": token, "verdict": "confirm", "prediction": prediction.id}),
    ]
    assert [answer.status for answer in answers] == [409] * 6
    assert all("write your own verdict" in answer.text() for answer in answers)


def test_after_the_own_verdict_the_answer_shows_and_both_words_are_kept(
    reader: Page, reading_ward: Ward, explained: str
) -> None:
    reader.goto(f"{reading_ward.url}/cases/{explained}")
    own = reader.locator("[data-digit='2']").get_attribute("value")
    for key in ("2", "Enter"):
        reader.keyboard.press(key)
    expect(reader.locator("[data-notice]")).to_contain_text("Kept: your own verdict")
    expect(reader.locator("section.diagnoses svg.bar").first).to_be_visible()
    expect(reader.locator(".note mark").first).to_be_visible()
    reader.get_by_role("link", name="Report").click()  # which came into being now
    expect(reader.locator(".sheet .review")).to_contain_text("before the model's answer was shown")
    expect(reader.locator(".sheet .answer")).to_contain_text("integrated gradients")
    reader.get_by_role("link", name="Back to the case").click()
    reader.wait_for_url("**/cases/*")  # loaded, scripts too
    for key in ("c", "Enter"):
        reader.keyboard.press(key)
    expect(reader.locator("[data-notice]")).to_contain_text("Saved: confirm")
    expect(reader.locator(".history li")).to_have_count(3)
    expect(reader.locator(".history li").nth(0)).to_contain_text("after")
    expect(reader.locator(".history li").nth(1)).to_contain_text("before the model")
    after, before, _ = reading_ward.services.reviews.history(reading_ward.admin, explained)
    assert (before.before_model, before.diagnoses, before.prediction_id) == (True, [own], None)
    assert (after.before_model, after.verdict, after.prediction_id is None) == (False, "confirm", False)
    reader.keyboard.press("z")  # the word from after is taken back, the one from before stays
    expect(reader.locator(".history li.withdrawn")).to_have_count(1)
    assert reader.locator("[data-undo]").count() == 0


def test_unsure_before_the_model_reveals_as_well(reader: Page, reading_ward: Ward) -> None:
    case_id = reading_ward.note_only("unsure at first")
    reading_ward.services.predictions.create(reading_ward.admin, case_id)
    reader.goto(f"{reading_ward.url}/cases/{case_id}")
    for key in ("u", "Enter"):
        reader.keyboard.press(key)
    expect(reader.locator("section.diagnoses svg.bar").first).to_be_visible()
    expect(reader.locator(".history li")).to_contain_text("before the model")


def test_the_list_tells_nothing_and_sorts_by_nothing_that_the_model_said(reader: Page, reading_ward: Ward) -> None:
    drawn = [d.case for d in draw(60, 5) if d.case.note][:2]
    cases = [reading_ward.submit(case) for case in drawn]
    for case_id in cases:
        reading_ward.services.predictions.create(reading_ward.admin, case_id)
    labelled = ReviewIn(verdict="override", diagnoses=["tuberculosis"])
    reading_ward.services.reviews.create(reading_ward.admin, cases[0], labelled)
    reader.goto(f"{reading_ward.url}/?order=uncertainty&diagnosis=pneumonia")
    links = reader.locator("a.open").evaluate_all("all => all.map(link => link.getAttribute('href'))")
    shown = [cases.index(i) for i in (link.split("/")[2].split("?")[0] for link in links) if i in cases]
    assert shown == [1, 0]  # newest first, whatever the address asks; no diagnosis chooses
    expect(reader.locator("tbody .doubt, tbody .top-answer .bar, #order, #diagnosis")).to_have_count(0)
    expect(reader.locator("tbody tr").first).to_contain_text("read first")
    assert "tuberculosis" not in reader.locator("tbody").inner_text().lower()
