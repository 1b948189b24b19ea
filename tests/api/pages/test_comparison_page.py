"""A model beside the one that serves, in the browser: what was decided, why, and what a person may still do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from api.access.service import Role
from api.promotion import service
from clinical_mm.promotion.decision import decide
from clinical_mm.promotion.policy import Policy
from tests.api.pages.conftest import Ward
from tests.api.pages.test_accessibility import violations
from tests.clinical_mm.promotion.contests import contest

pytestmark = pytest.mark.browser


@pytest.fixture
def compared(ward: Ward, trained_bundle: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], str]:
    """Registers a model of which a comparison says this; gives its id."""

    def register(decision: dict[str, Any]) -> str:
        monkeypatch.setattr(service, "compared", lambda *_: decision)
        model = str(ward.services.models.register(ward.admin, None, trained_bundle, "challenger").id)
        ward.services.promotions.compare(ward.admin, model)
        return model

    return register


@pytest.fixture
def rejected(compared: Callable[[dict[str, Any]], str]) -> str:
    """The id of a model that fails one sex, by what a comparison of constructed probabilities says."""
    return compared(decide(contest(400, champion=1.2, challenger=4.0, wrong_for="F"), Policy.load()).to_json())


def test_a_rejected_model_shows_why_and_serves_only_for_a_reason(
    sign_in: Callable[[Role], Page], ward: Ward, rejected: str
) -> None:
    page = sign_in(Role.ADMIN)
    page.get_by_role("link", name="Models").click()
    row = page.locator("tr", has_text=rejected)
    expect(row.get_by_role("button", name="Promote")).to_have_count(0)
    row.get_by_role("link", name="rejected").click()
    expect(page.get_by_role("heading", name="Rejected")).to_be_visible()
    expect(page.locator(".decision li").first).to_contain_text("worse: macro AUROC")
    broken = page.locator("tr.broken", has_text="sex: F")
    expect(broken).to_contain_text("guardrail broken")
    assert broken.locator("svg .at").bounding_box()["x"] < page.locator("svg .middle").first.bounding_box()["x"]
    assert violations(page) == []
    page.get_by_role("button", name="Promote").click()  # refused by the browser: no reason
    expect(page.get_by_role("heading", name="Rejected")).to_be_visible()
    page.get_by_label("Reason to promote it all the same").fill("the women's labels of May were wrong")
    page.get_by_role("button", name="Promote").click()
    expect(page.locator("tr.serving")).to_contain_text(rejected)
    page.locator("tr", has_text=rejected).get_by_role("link", name="rejected").click()
    expect(page.locator("main")).to_contain_text("the women's labels of May were wrong")
    ward.services.models.rollback(ward.admin)


def test_a_viewer_reads_a_comparison_and_can_change_nothing(
    sign_in: Callable[[Role], Page], ward: Ward, rejected: str
) -> None:
    page = sign_in(Role.VIEWER)
    page.goto(f"{ward.url}/models/{rejected}/comparison")
    expect(page.get_by_text("cases could show a true gain of")).to_be_visible()
    expect(page.locator("main").get_by_role("button")).to_have_count(0)


def test_both_models_reliability_is_drawn_side_by_side(
    sign_in: Callable[[Role], Page], ward: Ward, compared: Callable[[dict[str, Any]], str]
) -> None:
    decision = decide(contest(400, overconfident=4.0), Policy.load()).to_json()
    page = sign_in(Role.VIEWER)
    page.goto(f"{ward.url}/models/{compared(decision)}/comparison")
    diagrams = page.locator("svg.reliability")
    expect(diagrams).to_have_count(2)
    champion, challenger = (diagrams.nth(n).bounding_box() for n in (0, 1))
    assert champion["y"] == challenger["y"]
    assert champion["x"] + champion["width"] < challenger["x"]
    assert champion["width"] == pytest.approx(champion["height"], abs=2)
    for side, figure in zip(("champion", "challenger"), page.locator("figure").all(), strict=True):
        bins = decision["reliability"][side]
        assert sum(b["count"] for b in bins) == 400 * 3
        error = next(c["gain"][side] for c in decision["checks"] if c["about"] == "expected calibration error")
        expect(figure).to_contain_text(f"{side.capitalize()}, expected calibration error {error['value']:.3f}")
        drawn = figure.locator("circle").evaluate_all(
            "all => all.map(c => [+c.getAttribute('cx'), +c.getAttribute('cy')])"
        )
        expected = [[100 * b["claimed"], 100 - 100 * b["observed"]["value"]] for b in bins]
        assert [n for place in drawn for n in place] == pytest.approx(
            [n for place in expected for n in place], abs=0.01
        )
    assert len(decision["reliability"]["challenger"]) > 5
    assert f"{decision['reliability']['champion'][0]['claimed']:.2f} claimed" in (
        diagrams.first.get_attribute("aria-label") or ""
    )
    page.get_by_text("The numbers").click()
    expect(page.locator("details tbody tr")).to_have_count(sum(len(b) for b in decision["reliability"].values()))
    assert violations(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_comparison_from_before_reliability_was_kept_still_shows(
    sign_in: Callable[[Role], Page], ward: Ward, compared: Callable[[dict[str, Any]], str]
) -> None:
    decision = decide(contest(400), Policy.load()).to_json()
    del decision["reliability"]
    page = sign_in(Role.VIEWER)
    page.goto(f"{ward.url}/models/{compared(decision)}/comparison")
    expect(page.get_by_role("heading", name="Challenger minus champion")).to_be_visible()
    expect(page.locator("svg.reliability")).to_have_count(0)
