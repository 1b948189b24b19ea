"""The page of one's sessions as its reader meets it: by keyboard alone, to everyone, on a phone too."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from api.access.service import Role
from tests.api.pages.conftest import Ward
from tests.api.pages.test_accessibility import violations

pytestmark = pytest.mark.browser


def test_the_other_browsers_are_ended_from_the_keyboard(ward: Ward, browser: Browser) -> None:
    key = ward.key(Role.CLINICIAN)[1]
    desk, phone = (by_key(ward, browser, key) for _ in range(2))
    desk.get_by_role("link", name="Dr. clinician").focus()
    desk.keyboard.press("Enter")
    expect(desk.get_by_role("heading", name="Where you are signed in")).to_be_visible()
    expect(desk.locator("tbody tr")).to_have_count(2)
    expect(desk.get_by_text("this one")).to_have_count(1)
    desk.get_by_role("button", name="End the session of").focus()
    desk.keyboard.press("Enter")
    expect(desk.locator("tbody tr")).to_have_count(1)
    phone.reload()
    assert "/sign-in" in phone.url
    for page in (desk, phone):
        page.context.close()


def by_key(ward: Ward, browser: Browser, key: str) -> Page:
    page = browser.new_context().new_page()
    page.goto(f"{ward.url}/sign-in")
    page.get_by_label("Key").fill(key)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{ward.url}/")
    return page


def test_axe_finds_nothing_serious_on_the_page_of_sessions(ward: Ward, browser: Browser) -> None:
    key = ward.key(Role.VIEWER)[1]
    desk, other = (by_key(ward, browser, key) for _ in range(2))
    for size in ({"width": 1440, "height": 900}, {"width": 390, "height": 844}):
        desk.set_viewport_size(size)  # type: ignore[arg-type]
        desk.goto(f"{ward.url}/sessions")
        expect(desk.get_by_role("button", name="End all others")).to_be_visible()
        assert violations(desk) == []
    for page in (desk, other):
        page.context.close()
