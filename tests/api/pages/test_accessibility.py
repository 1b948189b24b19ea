"""Every page against WCAG 2.2 AA by axe-core, in light and in dark; targets, keyboard, motion."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from api.access.service import Role
from tests.api.pages.conftest import Ward

pytestmark = pytest.mark.browser

STANDARD = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
WORST = {"serious", "critical"}


@pytest.fixture(scope="session")
def explained_id(ward: Ward) -> str:
    return ward.explained_case()


@pytest.fixture(scope="session")
def model_id(ward: Ward) -> str:
    return str(ward.services.models.serving(ward.admin.project_id).id)


def violations(page: Page) -> list[str]:
    """What axe finds: rule, impact and where."""
    found = Axe().run(page, options=STANDARD).response["violations"]
    return [
        f"{rule['id']} ({rule['impact']}): {[node['target'] for node in rule['nodes']][:4]}"
        for rule in found
        if rule["impact"] in WORST
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/cases/{case}", "/training", "/models", "/models/{model}", "/cases/none"])
def test_axe_finds_nothing_serious(
    clinician: Page, ward: Ward, explained_id: str, model_id: str, path: str, scheme: str
) -> None:
    clinician.emulate_media(color_scheme=scheme)
    clinician.goto(ward.url + path.format(case=explained_id, model=model_id))
    if "{case}" in path:
        expect(clinician.locator("canvas")).to_have_attribute("data-drawn", "plain")
        clinician.keyboard.press("o")  # the diagnoses to choose from show
        expect(clinician.locator(".similar")).not_to_contain_text("Looking")
    assert violations(clinician) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_the_list_of_keys_and_at_the_sign_in(
    clinician: Page, browser: Browser, ward: Ward, explained_id: str, scheme: str
) -> None:
    clinician.emulate_media(color_scheme=scheme)
    clinician.goto(f"{ward.url}/cases/{explained_id}")
    clinician.keyboard.press("?")
    expect(clinician.get_by_role("dialog")).to_be_visible()
    assert violations(clinician) == []
    stranger = browser.new_page(color_scheme=scheme)
    stranger.goto(f"{ward.url}/sign-in")
    assert violations(stranger) == []
    stranger.close()


@pytest.mark.parametrize("size", [(1440, 900), (390, 844)])
def test_what_can_be_pressed_is_24_pixels_large_or_stands_apart(
    clinician: Page, ward: Ward, explained_id: str, size: tuple[int, int]
) -> None:
    clinician.set_viewport_size({"width": size[0], "height": size[1]})
    clinician.goto(f"{ward.url}/cases/{explained_id}")
    expect(clinician.locator("canvas")).to_have_attribute("data-drawn", "plain")
    found = Axe().run(clinician, options={"runOnly": ["target-size"]}).response
    assert found["violations"] == []
    assert found["passes"] != []


def test_the_whole_case_page_is_walked_by_tab_and_nothing_keeps_the_focus(
    clinician: Page, ward: Ward, explained_id: str
) -> None:
    clinician.goto(f"{ward.url}/cases/{explained_id}")
    expect(clinician.locator(".similar li, .similar .muted").first).to_be_visible()
    clinician.wait_for_load_state("networkidle")
    expected = clinician.evaluate(
        """() => [...document.querySelectorAll('a[href], button, select, input, textarea, [tabindex="0"]')].filter(e =>
          e.checkVisibility({ visibilityProperty: true }) && !e.disabled && e.type !== 'hidden' && e.type !== 'radio'
        ).length"""
    )
    clinician.evaluate("window.walked = new Set()")
    for _ in range(expected + 12):
        clinician.keyboard.press("Tab")
        clinician.evaluate("document.activeElement.type !== 'radio' && window.walked.add(document.activeElement)")
        outline = clinician.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none" or clinician.evaluate("document.activeElement === document.body")
    assert clinician.evaluate("window.walked.delete(document.body), window.walked.size") == expected


def test_who_wants_little_motion_gets_none_that_turns(sign_in: Callable[[Role], Page], ward: Ward) -> None:
    page = sign_in(Role.CLINICIAN)  # its context asks for reduced motion
    page.goto(f"{ward.url}/cases/{ward.whole_case()}")
    assert float(page.locator(".wait").first.evaluate("e => getComputedStyle(e).animationDuration.slice(0, -1)")) >= 4
