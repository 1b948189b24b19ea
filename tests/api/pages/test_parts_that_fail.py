"""What a page fetches by itself may fail: that part says why, and the rest stays as the reader left it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from api.access.service import Role
from clinical_mm.case import Case, ImageFile, Patient
from clinical_mm.phantom import draw
from tests.api.cases.test_verifying import last_pixel
from tests.api.pages.conftest import Ward

pytestmark = pytest.mark.browser


def test_a_case_whose_image_is_damaged_can_be_read_and_says_what_is_wrong(
    sign_in: Callable[[Role], Page], ward: Ward
) -> None:
    drawn = next(d.case for d in draw(60, 5) if d.case.images).images[0].read()
    film = ImageFile("a.dcm", drawn[:-2] + b"\x07\x00")  # no other test's
    case = ward.submit(Case(patient=Patient("p-damaged"), note="Cough for three days.", images=(film,)))
    last_pixel(ward.services.ground.blobs.path(film.sha256))
    page = sign_in(Role.CLINICIAN)
    page.goto(f"{ward.url}/cases/{case}")
    expect(page.locator(".similar")).to_contain_text("is not what was stored")
    expect(page.locator(".viewer")).to_contain_text("is not what was stored")
    expect(page.locator(".note")).to_contain_text("Cough for three days.")
    page.get_by_role("button", name="Predict").click()
    expect(page.get_by_role("alert")).to_contain_text("is not what was stored")


@pytest.mark.parametrize(
    ("end", "told"),
    [
        pytest.param(lambda route: route.abort(), "the server did not answer", id="no answer"),
        pytest.param(lambda route: route.fulfill(status=503, body=""), "the server answered with 503", id="a refusal"),
    ],
)
def test_what_was_written_stays_though_similar_cases_cannot_be_found(
    sign_in: Callable[[Role], Page], ward: Ward, end: Callable[[Route], None], told: str
) -> None:
    page, held = sign_in(Role.CLINICIAN), list[Route]()

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/similar", hold)
    with page.expect_request("**/similar"):
        page.goto(f"{ward.url}/cases/{ward.note_only('Fever.')}")
    page.get_by_label("Unsure").check()
    end(held[0])  # another follows for the next case, which is fetched ahead
    expect(page.locator(".similar")).to_contain_text(told)
    expect(page.get_by_label("Unsure")).to_be_checked()
