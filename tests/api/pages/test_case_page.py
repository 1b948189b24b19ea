"""One case in the browser: the picture is drawn, evidence shows, a reviewer's word is kept."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from api.access.service import Role
from api.cases.schemas import CaseChange
from clinical_mm.case import Case, ImageFile, Patient
from tests.api.pages.conftest import Ward
from tests.clinical_mm.pictures.dicoms import dicom

pytestmark = pytest.mark.browser

PIXELS = """canvas => {
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  let grey = 0, coloured = 0, sum = 0;
  const seen = new Set();
  for (let i = 0; i < data.length; i += 4) {
    if (!data[i + 3]) continue;
    const [r, g, b] = [data[i], data[i + 1], data[i + 2]];
    if (r === g && g === b) grey++; else coloured++;
    sum += g; seen.add(g);
  }
  return { grey, coloured, mean: sum / (grey + coloured || 1), levels: seen.size };
}"""


def open_case(page: Page, ward: Ward, case_id: str) -> Page:
    page.goto(f"{ward.url}/cases/{case_id}")
    return page


def pixels(page: Page, drawn: str = "plain") -> dict[str, float]:
    expect(page.locator("canvas")).to_have_attribute("data-drawn", drawn)
    found: dict[str, float] = page.locator("canvas").evaluate(PIXELS)
    return found


def test_the_canvas_draws_the_picture(clinician: Page, ward: Ward) -> None:
    open_case(clinician, ward, ward.whole_case())
    drawn = pixels(clinician)
    assert drawn["grey"] > 50_000
    assert drawn["coloured"] == 0
    assert drawn["levels"] > 60


def test_the_overlay_starts_off_and_colours_the_picture_when_on(clinician: Page, ward: Ward) -> None:
    open_case(clinician, ward, ward.explained_case())
    assert pixels(clinician)["coloured"] == 0
    clinician.keyboard.press("h")
    assert pixels(clinician, "overlay")["coloured"] > 500
    clinician.keyboard.press("h")
    assert pixels(clinician)["coloured"] == 0


def test_dragging_over_the_picture_changes_the_window(clinician: Page, ward: Ward) -> None:
    open_case(clinician, ward, ward.whole_case())
    before, level = pixels(clinician), clinician.get_by_label("Level", exact=True).input_value()
    box = clinician.locator("canvas").bounding_box()
    assert box is not None
    clinician.mouse.move(box["x"] + 200, box["y"] + 200)
    clinician.mouse.down()
    clinician.mouse.move(box["x"] + 200, box["y"] + 330, steps=4)
    clinician.mouse.up()
    assert clinician.get_by_label("Level", exact=True).input_value() != level
    assert pixels(clinician)["mean"] < before["mean"] - 10  # a higher level is a darker picture
    clinician.get_by_label("Window", exact=True).select_option("Default")
    assert clinician.get_by_label("Level", exact=True).input_value() == level


def test_words_vitals_and_shares_tell_what_speaks_for_the_diagnosis(clinician: Page, ward: Ward) -> None:
    case_id = ward.explained_case()
    open_case(clinician, ward, case_id)
    note = ward.services.cases.get(ward.admin, case_id).note
    assert clinician.locator(".note .text").inner_text() == note
    assert clinician.locator(".note .text mark").count() > 0
    assert clinician.locator(".vitals tbody tr svg.range").count() == clinician.locator(".vitals tbody tr").count() > 0
    assert clinician.locator(".shares tbody tr").count() == 3


def test_predict_and_explain_fill_the_page_without_leaving_it(clinician: Page, ward: Ward) -> None:
    open_case(clinician, ward, ward.whole_case())
    clinician.get_by_role("button", name="Predict").click()
    expect(clinician.locator(".diagnoses svg.bar").first).to_be_visible()
    target = clinician.locator("#target option").nth(1)
    clinician.locator("#target").select_option(target.get_attribute("value"))
    clinician.get_by_role("button", name="Explain").click()
    expect(clinician.locator(".sum")).to_contain_text(str(target.inner_text()))
    assert pixels(clinician)["grey"] > 50_000  # the viewer lives on in the new part of the page


def test_a_slider_walks_through_the_frames(clinician: Page, ward: Ward) -> None:
    steps = np.stack([np.full((24, 32), level, np.uint16) for level in (100, 900, 1700)])
    stored = dicom(steps, NumberOfFrames=3, WindowCenter="1000", WindowWidth="2000")
    open_case(clinician, ward, ward.submit(Case(patient=Patient("p-1"), images=(ImageFile("steps.dcm", stored),))))
    assert pixels(clinician)["mean"] == pytest.approx(255 * 900 / 2000, abs=3)  # it opens in the middle
    clinician.get_by_label("Frame", exact=True).fill("2")
    expect(clinician.locator("[data-frame-number]")).to_have_text("3 / 3")
    expect(clinician.locator("canvas")).to_have_attribute("data-frame", "2")
    assert pixels(clinician)["mean"] == pytest.approx(255 * 1700 / 2000, abs=3)


def test_a_changed_case_asks_for_a_new_prediction(clinician: Page, ward: Ward) -> None:
    case_id = ward.note_only("Fever and cough.")
    ward.services.predictions.create(ward.admin, case_id)
    ward.services.cases.change(ward.admin, case_id, CaseChange(note="No fever."))
    open_case(clinician, ward, case_id)
    expect(clinician.locator(".warning.strong")).to_contain_text("predict again")
    clinician.get_by_role("button", name="Explain").click()
    expect(clinician.locator("[role=alert]")).to_contain_text("predict again")  # told, not dropped


def test_what_is_absent_is_said(clinician: Page, ward: Ward) -> None:
    case_id = ward.note_only("Fever and productive cough.")
    ward.services.predictions.create(ward.admin, case_id)
    open_case(clinician, ward, case_id)
    expect(clinician.get_by_text("No image and no vitals: the probabilities rest on note alone.")).to_be_visible()
    expect(clinician.get_by_text("No image in this case.")).to_be_visible()
    expect(clinician.get_by_text("No vitals or labs in this case.")).to_be_visible()


def test_a_warning_on_the_evidence_stands_above_the_probabilities(clinician: Page, ward: Ward) -> None:
    case_id = ward.note_only("Patient mit Fieber und Husten seit drei Tagen, keine Atemnot.")
    ward.services.predictions.create(ward.admin, case_id)
    answer = open_case(clinician, ward, case_id).locator("section.diagnoses")
    warning = answer.locator(".warning", has_text="the note reads as German; the model learned from English")
    expect(warning).to_be_visible()
    box, table = warning.bounding_box(), answer.locator("table").first.bounding_box()
    assert box is not None
    assert table is not None
    assert box["y"] < table["y"]


def test_an_override_with_its_reason_sets_the_label_and_stays_in_the_history(clinician: Page, ward: Ward) -> None:
    case_id = ward.explained_case()
    open_case(clinician, ward, case_id)
    clinician.get_by_label("Override").check()
    clinician.get_by_label("COVID-19").check()
    clinician.get_by_placeholder("Reason or comment").fill("PCR came back positive.")
    clinician.get_by_role("button", name="Save").click()
    entry = clinician.locator(".history li").first
    expect(entry).to_contain_text("PCR came back positive.")
    expect(entry).to_contain_text("override COVID-19")
    expect(clinician.locator(".case-head")).to_contain_text("label: COVID-19")
    assert ward.services.cases.get(ward.admin, case_id).diagnoses == ["covid-19"]


def test_a_review_by_keyboard_alone(clinician: Page, ward: Ward) -> None:
    case_id = ward.explained_case()
    open_case(clinician, ward, case_id)
    clinician.keyboard.press("c")
    expect(clinician.get_by_text("The label becomes:")).to_be_visible()
    clinician.keyboard.press("Enter")
    expect(clinician.locator(".history .verdict")).to_have_text("confirm")
    clinician.keyboard.press("u")
    clinician.get_by_placeholder("Reason or comment").fill("c o u n are letters here")
    clinician.keyboard.press("Enter")
    expect(clinician.locator(".history .verdict").first).to_have_text("unsure")
    assert [r.verdict for r in ward.services.reviews.history(ward.admin, case_id)] == ["unsure", "confirm"]


@pytest.mark.parametrize(
    "payload",
    ["<script>window.hurt=1</script>", "<img src=x onerror='window.hurt=1'>", "\"'><svg onload=window.hurt=1>"],
)
def test_markup_in_notes_and_names_is_shown_and_never_run(clinician: Page, ward: Ward, payload: str) -> None:
    case_id = ward.note_only(f"Fever {payload} and cough.", patient=f"p {payload}")
    prediction = ward.services.predictions.create(ward.admin, case_id)
    ward.services.explanations.create(ward.admin, prediction.id)
    open_case(clinician, ward, case_id)
    clinician.keyboard.press("u")
    clinician.get_by_placeholder("Reason or comment").fill(payload)
    clinician.get_by_role("button", name="Save").click()
    expect(clinician.locator(".history .comment")).to_have_text(payload)
    assert payload in clinician.locator(".note .text").inner_text()
    clinician.goto(ward.list_of(case_id))
    expect(clinician.locator("a.open")).to_have_text(f"p {payload}")
    assert clinician.evaluate("window.hurt") is None


def test_a_synthetic_case_says_so_on_list_and_page(clinician: Page, ward: Ward) -> None:
    case_id = ward.note_only("Fever.")
    open_case(clinician, ward, case_id)
    expect(clinician.locator(".banner")).to_contain_text("SYNTHETIC")
    clinician.goto(ward.list_of(case_id))
    expect(clinician.locator("tbody tr")).to_contain_text("synthetic")


def test_a_case_fits_one_screen(clinician: Page, ward: Ward) -> None:
    open_case(clinician, ward, ward.explained_case())
    assert clinician.evaluate("document.documentElement.scrollHeight") <= 900
    assert clinician.evaluate("document.documentElement.scrollWidth") <= 1440


def test_a_viewer_sees_everything_and_may_change_nothing(sign_in: Callable[[Role], Page], ward: Ward) -> None:
    page = open_case(sign_in(Role.VIEWER), ward, ward.explained_case())
    assert pixels(page)["grey"] > 50_000
    assert page.locator("main form").count() == 0
    for address in ("/training", "/models"):
        page.goto(ward.url + address)
        assert page.locator("main form").count() == 0


def test_a_case_that_is_not_there_is_told_in_words(clinician: Page, ward: Ward) -> None:
    answer = clinician.goto(f"{ward.url}/cases/case_nothing")
    assert answer is not None
    assert answer.status == 404
    expect(clinician.locator("main")).to_contain_text("no such case in this project")
