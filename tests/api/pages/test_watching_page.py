"""What has moved, in the browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from api.access.service import Role
from api.watching.schemas import BinOut, DriftOut, WatchingOut, WeekOut
from tests.api.pages.conftest import Ward
from tests.api.pages.test_accessibility import violations

pytestmark = pytest.mark.browser


def feature(name: str, verdict: str, psi: float) -> DriftOut:
    bins = [BinOut(name="below 92", then=0.2, now=0.6), BinOut(name="from 92", then=0.8, now=0.4)]
    told = {"feature": name, "then": 200, "now": 80, "psi": psi, "p": 0.0002, "verdict": verdict}
    return DriftOut.model_validate({**told, "mean_then": 96.2, "mean_now": 90.1, "bins": bins})


def test_what_moved_stands_first_and_is_drawn(
    sign_in: Callable[[Role], Page], ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ward.services.models.serving(ward.admin.project_id).id
    report = WatchingOut(
        model=model,
        days=30,
        inputs=[feature("spo2", "drifted", 0.81), feature("heart_rate", "stable", 0.02)],
        images=[],
        strangeness=[],
        outputs=[feature("pneumonia", "watch", 0.12)],
        agreement=[WeekOut(week="2026-11-02", reviews=20, confirmed=17, low=0.64, high=0.95)],
        ruling=None,
        notes=[],
    )
    monkeypatch.setattr(ward.services.watching, "report", lambda *_: report)
    page = sign_in(Role.VIEWER)
    page.get_by_role("link", name="Watching").click()
    expect(page.get_by_role("heading", name="2 moved")).to_be_visible()
    expect(page.locator("li", has_text="Oxygen saturation")).to_contain_text(
        "drifted: PSI 0.81, mean 96.2 then, 90.1 now"
    )
    heights = (
        page.locator(".histogram").first.locator("rect").evaluate_all("all => all.map(r => +r.getAttribute('height'))")
    )
    assert heights == pytest.approx([27 * 0.2 / 0.8, 27 * 0.6 / 0.8, 27, 27 * 0.4 / 0.8], abs=0.01)
    expect(page.locator("tr", has_text="2026-11-02")).to_contain_text("85 %")
    assert violations(page) == []


def test_the_window_is_chosen(sign_in: Callable[[Role], Page], ward: Ward) -> None:
    page = sign_in(Role.VIEWER)
    page.get_by_role("link", name="Watching").click()
    page.get_by_label("Cases of the last").select_option("90")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**/watching?days=90")
    expect(page.get_by_text("none of the cases that taught the model is stored here")).to_be_visible()
