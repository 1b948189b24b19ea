"""The list, the training page and the registry in the browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from api.access.service import Role
from tests.api.pages.conftest import Ward

pytestmark = pytest.mark.browser


def test_the_list_is_walked_by_keyboard(clinician: Page, ward: Ward) -> None:
    for patient in ("walk-a", "walk-b", "walk-c"):
        ward.note_only("walking through the list", patient=patient)
    clinician.keyboard.press("/")
    clinician.keyboard.type("walking through")
    clinician.keyboard.press("Enter")
    clinician.wait_for_url("**/?*s=*")  # loaded, scripts too: a key pressed earlier is lost
    expect(clinician.locator("a.open")).to_have_text(["walk-c", "walk-b", "walk-a"])
    for key in "jjkj":
        clinician.keyboard.press(key)
    clinician.keyboard.press("Enter")
    clinician.wait_for_url("**/cases/*")
    expect(clinician.locator("h1")).to_have_text("walk-b")
    clinician.keyboard.press("n")
    expect(clinician.locator("h1")).to_have_text("walk-a")  # the search travels along


@pytest.fixture
def shadow(ward: Ward, trained_bundle: object) -> Iterator[str]:
    """The id of a model in shadow: the fullest row of its table."""
    model = str(ward.services.models.register(ward.admin, None, trained_bundle, "challenger").id)
    ward.services.shadows.begin(ward.admin, model)
    yield model
    ward.services.shadows.end(ward.admin, model)


@pytest.mark.parametrize("width", [1440, 1280, 1024, 768])
def test_nothing_is_wider_than_a_laptop_or_a_tablet(
    sign_in: Callable[[Role], Page], ward: Ward, shadow: str, width: int
) -> None:
    ward.services.predictions.create(ward.admin, ward.whole_case())
    page = sign_in(Role.ADMIN)
    page.set_viewport_size({"width": width, "height": 800})
    for path in ("/", "/training", "/models", "/watching", "/project", "/audit", "/sessions"):
        page.goto(f"{ward.url}{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert path != "/models" or page.locator("tr", has_text=shadow).get_by_text("in shadow").is_visible()
    if width >= 1280:
        page.goto(f"{ward.url}/")
        cut = "[...document.querySelectorAll('table.cases')].filter(t => t.scrollWidth > t.clientWidth).length"
        assert page.evaluate(cut) == 0


def test_the_list_filters_by_label(clinician: Page, ward: Ward) -> None:
    case_id = ward.note_only("a filter finds me")
    clinician.goto(ward.list_of(case_id))
    clinician.get_by_label("Label").select_option("labelled")
    clinician.wait_for_url("**/*labelled=yes*")
    expect(clinician.get_by_text("No case fits.")).to_be_visible()
    clinician.get_by_label("Label").select_option("unlabelled")
    expect(clinician.locator("a.open")).to_have_count(1)


def test_a_run_is_started_watched_and_cancelled(sign_in: Callable[[Role], Page], ward: Ward) -> None:
    page = sign_in(Role.TRAINER)
    page.get_by_role("link", name="Training").click()
    page.get_by_label("Configuration").select_option("small")
    page.get_by_role("button", name="Start").click()
    row = page.locator("#runs tbody tr").first
    expect(row).to_contain_text("queued")
    run = ward.services.training.list(ward.admin)[0]
    ward.services.training.cancel(ward.admin, run.id)
    expect(row).to_contain_text("cancelled")  # by polling, without a click


def test_a_configuration_is_one_of_those_that_come_along(sign_in: Callable[[Role], Page], ward: Ward) -> None:
    page = sign_in(Role.TRAINER)
    page.goto(f"{ward.url}/training")
    page.evaluate(
        "document.querySelector('#config').append(new Option('/etc/passwd.yaml', '/etc/passwd.yaml', true, true))"
    )
    page.get_by_role("button", name="Start").click()
    expect(page.locator("main")).to_contain_text("no configuration")


def test_the_registry_shows_intervals_and_lets_an_admin_promote(
    sign_in: Callable[[Role], Page], ward: Ward, trained_bundle: object
) -> None:
    first = ward.services.models.serving(ward.admin.project_id).id
    second = ward.services.models.register(ward.admin, None, trained_bundle, "second").id
    page = sign_in(Role.ADMIN)
    page.get_by_role("link", name="Models").click()
    expect(page.locator("tr.serving")).to_contain_text(first)
    expect(page.locator("tr.serving .interval").first).to_have_text(re.compile(r"\[[\d.]+–[\d.]+\]"))
    page.locator("tr", has_text=second).get_by_role("button", name="Promote").click()
    expect(page.locator("tr.serving")).to_contain_text(second)
    page.get_by_role("button", name="Roll back").click()
    expect(page.locator("tr.serving")).to_contain_text(first)
    page.get_by_role("link", name=first).click()
    expect(page.get_by_text("Not a medical device; not for use without review")).to_be_visible()


def test_a_model_s_report_shows_its_pictures_and_runs_no_script(sign_in: Callable[[Role], Page], ward: Ward) -> None:
    page = sign_in(Role.VIEWER)
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.get_by_role("link", name="Models").click()
    page.locator("tr.serving a").first.click()
    page.get_by_role("link", name="The whole report").click()
    expect(page.get_by_role("heading", name="With less evidence")).to_be_visible()
    widths = page.locator("figure svg").evaluate_all("all => all.map(svg => svg.getBoundingClientRect().width)")
    assert len(widths) >= 4
    assert min(widths) > 100
    assert faults == []


def test_a_model_s_page_leads_to_each_case_that_made_it(sign_in: Callable[[Role], Page], ward: Ward) -> None:
    page = sign_in(Role.VIEWER)
    page.get_by_role("link", name="Models").click()
    page.locator("tr.serving a").first.click()
    page.get_by_role("link", name="each of them").click()
    expect(page.locator("main")).to_contain_text("cases in the snapshot of this model")
    rows = page.locator("tbody tr")
    expect(rows.first).to_contain_text("synthetic-")
    expect(rows.first).to_contain_text("erased")  # it was trained elsewhere: none of its cases is stored here


def test_a_model_s_card_is_one_page_to_print(sign_in: Callable[[Role], Page], ward: Ward) -> None:
    page = sign_in(Role.VIEWER)
    page.get_by_role("link", name="Models").click()
    page.locator("tr.serving a").first.click()
    page.get_by_role("link", name="Model card").click()
    expect(page.get_by_role("heading", name="Model card of tiny")).to_be_visible()
    expect(page.get_by_role("heading", name="Ethical considerations")).to_be_visible()
