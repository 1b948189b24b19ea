"""From case to case: the next one is there before it is asked for, and Back leads where it should."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from api.access.service import Role
from tests.api.pages.conftest import Ward

pytestmark = pytest.mark.browser


@pytest.fixture
def two_cases(clinician: Page, ward: Ward) -> tuple[Page, str, str]:
    """A page at the newer of two cases, each with an explained prediction; their ids."""
    older, newer = (ward.explained_case() for _ in range(2))
    clinician.goto(newest_first(ward, newer))
    ready(clinician)
    return clinician, newer, older


def newest_first(ward: Ward, case_id: str) -> str:
    """A case's address in the order in which the one stored before it is the next."""
    return f"{ward.url}/cases/{case_id}?order=newest"


def at(case_id: str) -> re.Pattern[str]:
    return re.compile(rf"/cases/{case_id}\?")


def ready(page: Page) -> None:
    """Everything has come, the next case too."""
    expect(page.locator("canvas")).to_have_attribute("data-drawn", "plain")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(300)  # the next case is asked for when the browser is idle
    page.wait_for_load_state("networkidle")


def shown_id(page: Page) -> str:
    return str(page.locator("#case").get_attribute("data-case"))


def test_the_next_case_comes_without_the_network(two_cases: tuple[Page, str, str]) -> None:
    page, newer, older = two_cases
    page.context.set_offline(True)
    page.keyboard.press("n")
    expect(page).to_have_url(at(older))
    assert shown_id(page) == older
    expect(page.locator("canvas")).to_have_attribute("data-drawn", "plain")
    expect(page.locator(".note .text")).not_to_be_empty()
    expect(page.locator(".diagnoses svg.bar").first).to_be_visible()
    expect(page.locator(".similar li, .similar p").first).not_to_have_text("Looking …")
    page.context.set_offline(False)
    assert newer != older


def test_the_title_the_heading_and_the_focus_follow(two_cases: tuple[Page, str, str]) -> None:
    page, _, older = two_cases
    page.get_by_role("link", name="Next case").click()
    expect(page).to_have_url(at(older))
    heading = page.locator("h1")
    expect(heading).to_be_focused()  # which a screen reader reads
    expect(page).to_have_title(f"{heading.inner_text()} · clinical_mm")
    page.keyboard.press("c")  # the new page's form listens
    expect(page.get_by_label("Confirm")).to_be_checked()
    page.keyboard.press("Enter")
    expect(page.locator(".history .verdict")).to_have_text("confirm")


def test_back_and_forward_lead_from_case_to_case_and_to_the_list(clinician: Page, ward: Ward) -> None:
    older, newer = (ward.note_only(f"walking back {n}", patient=f"back-{n}") for n in range(2))
    clinician.goto(ward.list_of("walking back", order="newest"))
    clinician.locator("a.open").first.click()
    clinician.wait_for_url("**/cases/*")  # loaded, scripts too: a key pressed earlier is lost
    expect(clinician.locator("h1")).to_have_text("back-1")
    clinician.keyboard.press("n")
    expect(clinician.locator("h1")).to_have_text("back-0")
    clinician.go_back()
    expect(clinician.locator("h1")).to_have_text("back-1")
    assert shown_id(clinician) == newer
    clinician.go_forward()
    expect(clinician.locator("h1")).to_have_text("back-0")
    assert shown_id(clinician) == older
    clinician.go_back()
    expect(clinician.locator("h1")).to_have_text("back-1")
    clinician.go_back()
    expect(clinician.locator("h1")).to_have_text("Cases")


def test_a_page_fetched_ahead_more_than_a_minute_ago_is_fetched_anew(clinician: Page, ward: Ward) -> None:
    older = ward.note_only("The first words.")
    clinician.clock.install()
    clinician.goto(newest_first(ward, ward.explained_case()))
    with clinician.expect_response(at(older)):
        clinician.clock.run_for(1000)
    ward.services.reviews.create(ward.admin, older, _unsure("Seen by another reader."))
    clinician.clock.fast_forward(61_000)
    clinician.keyboard.press("n")
    expect(clinician.locator(".history .comment")).to_have_text("Seen by another reader.")


def test_a_review_saved_in_another_tab_makes_the_page_fetched_ahead_stale(two_cases: tuple[Page, str, str]) -> None:
    page, _, older = two_cases
    other = page.context.new_page()
    other.goto(re.sub(r"/cases/.*", f"/cases/{older}", page.url))
    other.keyboard.press("u")
    other.get_by_placeholder("Reason or comment").fill("From the other tab.")
    other.get_by_role("button", name="Save").click()
    expect(other.locator(".history .comment")).to_have_text("From the other tab.")
    page.bring_to_front()
    page.keyboard.press("n")
    expect(page.locator(".history .comment")).to_have_text("From the other tab.")


def test_and_so_does_one_taken_back_there(clinician: Page, ward: Ward) -> None:
    older = ward.note_only("Taken back.")
    newer = newest_first(ward, ward.explained_case())
    other = clinician.context.new_page()
    other.goto(f"{ward.url}/cases/{older}")
    for key in ("u", "Enter"):
        other.keyboard.press(key)
    expect(other.locator("[data-undo]")).to_have_count(1)
    clinician.goto(newer)
    ready(clinician)  # the next case, with its review, is there
    other.keyboard.press("z")
    expect(other.locator(".history li.withdrawn")).to_have_count(1)
    clinician.bring_to_front()
    clinician.keyboard.press("n")
    expect(clinician.locator(".history li.withdrawn")).to_have_count(1)


def test_a_session_that_ended_meanwhile_leads_to_the_sign_in(clinician: Page, ward: Ward) -> None:
    older = ward.note_only("Cough.")
    with clinician.expect_response(at(older)):  # fetched ahead; it would bring the cookie back
        clinician.goto(newest_first(ward, ward.note_only("Fever.")))
    clinician.wait_for_load_state("networkidle")
    clinician.context.clear_cookies()
    clinician.evaluate("document.querySelector('#case').dataset.next += '&fresh'")  # not what was fetched ahead
    clinician.keyboard.press("n")
    clinician.wait_for_url(re.compile(r"/sign-in\?next="))
    clinician.get_by_label("Key").fill(ward.key(Role.CLINICIAN)[1])
    clinician.get_by_role("button", name="Sign in").click()
    clinician.wait_for_url(at(older))


def test_nothing_of_a_case_is_kept_in_the_browser_s_storage(two_cases: tuple[Page, str, str]) -> None:
    page, _, older = two_cases
    page.keyboard.press("n")
    expect(page).to_have_url(at(older))
    kept = page.evaluate("JSON.stringify([{ ...localStorage }, { ...sessionStorage }])")
    assert page.locator("h1").inner_text() not in kept
    assert page.evaluate("caches.keys()") == []


def _unsure(comment: str) -> object:
    from api.reviews.schemas import ReviewIn

    return ReviewIn.model_validate({"verdict": "unsure", "comment": comment})
