"""Every page against WCAG 2.2 AA by axe-core, in light and in dark; targets, keyboard, motion."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect

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


@pytest.fixture(scope="session")
def marked_id(ward: Ward) -> str:
    """A case whose note has marks and badges of every kind."""
    return ward.explained_in_words(
        "No fever or chills. Productive cough. ? febrile at home. Father had swollen ankles."
    )


def violations(page: Page) -> list[str]:
    """What axe finds in light and in dark: scheme, rule, impact and where."""
    told = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page, options=STANDARD).response
        assert found["passes"] != []
        told += [
            f"{scheme}: {rule['id']} ({rule['impact']}): {[node['target'] for node in rule['nodes']][:4]}"
            for rule in found["violations"]
            if rule["impact"] in WORST
        ]
    return told


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/training",
        "/models",
        "/models/{model}",
        "/models/{model}/cases",
        "/models/{model}/comparison",
        "/cases/none",
        "/cases/{marked}",
        "/cases/{marked}/report",
    ],
)
def test_axe_finds_nothing_serious(clinician: Page, ward: Ward, marked_id: str, model_id: str, path: str) -> None:
    clinician.goto(ward.url + path.format(marked=marked_id, model=model_id))
    if "{marked}" in path:
        expect(clinician.locator("mark.negated").first).to_be_visible()
    assert violations(clinician) == []


def test_axe_finds_nothing_serious_in_a_case_with_its_choices_and_its_list_of_keys(
    clinician: Page, ward: Ward, explained_id: str
) -> None:
    clinician.goto(f"{ward.url}/cases/{explained_id}")
    expect(clinician.locator("canvas")).to_have_attribute("data-drawn", "plain")
    expect(clinician.locator(".similar")).not_to_contain_text("Looking")
    clinician.keyboard.press("o")  # the diagnoses to choose from show
    assert violations(clinician) == []
    clinician.keyboard.press("?")
    expect(clinician.get_by_role("dialog")).to_be_visible()
    assert violations(clinician) == []


def test_axe_finds_nothing_serious_where_a_project_reads_first(reader: Page, reading_ward: Ward) -> None:
    reader.goto(f"{reading_ward.url}/cases/{reading_ward.whole_case()}")
    expect(reader.get_by_role("heading", name="Your own verdict first")).to_be_visible()
    assert violations(reader) == []


def test_axe_finds_nothing_serious_at_the_sign_in(context: BrowserContext, ward: Ward) -> None:
    stranger = context.new_page()
    stranger.goto(f"{ward.url}/sign-in")
    assert violations(stranger) == []


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
