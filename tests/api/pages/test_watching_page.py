"""What has moved, in the browser."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from api.access.service import Role
from api.watching.schemas import AgreementOut, BinOut, DriftOut, RulingOut, WatchingOut, WeekOut
from tests.api.pages.conftest import Ward
from tests.api.pages.test_accessibility import violations

pytestmark = pytest.mark.browser


def feature(name: str, verdict: str, psi: float) -> DriftOut:
    bins = [BinOut(name="below 92", then=0.2, now=0.6), BinOut(name="from 92", then=0.8, now=0.4)]
    told = {"feature": name, "then": 200, "now": 80, "psi": psi, "p": 0.0002, "verdict": verdict}
    return DriftOut.model_validate({**told, "mean_then": 96.2, "mean_now": 90.1, "bins": bins})


def ruling(model: str, **changes: Any) -> RulingOut:
    told: dict[str, Any] = {
        "at": datetime(2026, 11, 2, 10, 30, tzinfo=UTC),
        "model": model,
        "action": "tell",
        "asks": False,
        "reasons": [],
        "lacking": [],
        "drifted": 3,
        "judged": 24,
        "agreement": AgreementOut(reviews=20, confirmed=17, low=0.64, high=0.95),
        "new_labels": 61,
        "days_since_training": 20.0,
        "run": None,
    }
    return RulingOut.model_validate({**told, **changes})


def report_of(model: str, said: RulingOut | None) -> WatchingOut:
    return WatchingOut(
        model=model,
        days=30,
        inputs=[feature("spo2", "drifted", 0.81), feature("heart_rate", "stable", 0.02)],
        images=[feature("image brightness", "drifted", 1.2), feature("image size", "stable", 0.0)],
        strangeness=[feature("strangeness of text", "drifted", 0.9)],
        outputs=[feature("pneumonia", "watch", 0.12)],
        agreement=[WeekOut(week="2026-11-02", reviews=20, confirmed=17, low=0.64, high=0.95)],
        ruling=said,
        notes=[],
    )


@pytest.fixture
def watching(sign_in: Callable[[Role], Page], ward: Ward, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Page]:
    """The page as a viewer sees it, with a ruling or without."""

    def opened(**said: Any) -> Page:
        model = ward.services.models.serving(ward.admin.project_id).id
        report = report_of(model, ruling(model, **said) if said else None)
        monkeypatch.setattr(ward.services.watching, "report", lambda *_: report)
        page = sign_in(Role.VIEWER)
        page.get_by_role("link", name="Watching").click()
        return page

    return opened


def test_what_moved_stands_first_and_is_drawn(watching: Callable[..., Page]) -> None:
    page = watching()
    expect(page.get_by_role("heading", name="4 moved")).to_be_visible()
    assert page.locator("section").first.locator("li b").all_inner_texts() == [
        "Image brightness",
        "Strangeness of the note",
        "Oxygen saturation (SpO2)",
        "Pneumonia",
    ]
    expect(page.locator("li", has_text="Oxygen saturation")).to_contain_text(
        "drifted: PSI 0.81, mean 96.2 then, 90.1 now"
    )
    heights = (
        page.locator(".histogram").first.locator("rect").evaluate_all("all => all.map(r => +r.getAttribute('height'))")
    )
    assert heights == pytest.approx([27 * 0.2 / 0.8, 27 * 0.6 / 0.8, 27, 27 * 0.4 / 0.8], abs=0.01)
    expect(page.locator("tr", has_text="2026-11-02")).to_contain_text("85 %")
    for caption, row in (("Drift of images", "Image size"), ("Drift of strangeness", "Strangeness of the note")):
        expect(page.get_by_role("table", name=caption).get_by_role("row", name=row)).to_be_visible()
    expect(page.get_by_role("heading", name="No worker has looked yet")).to_be_visible()


@pytest.mark.parametrize(
    ("said", "heading", "told"),
    [
        ({"drifted": 0}, "No training is asked for", "0 of 24 features drifted"),
        ({"reasons": ["5 of 24 features have drifted"], "asks": True}, "The model asks to be trained again", "Train."),
        (
            {"reasons": ["5 of 24 features have drifted"], "lacking": ["9 of 50 new reviewed labels are there"]},
            "A training would be asked for, but something is lacking",
            "Lacking: 9 of 50 new reviewed labels are there.",
        ),
        (
            {"reasons": ["5 of 24 features have drifted"], "asks": True, "action": "retrain", "run": "run_1"},
            "A training run was queued",
            "See the run.",
        ),
    ],
    ids=["calm", "asks", "lacking", "queued"],
)
def test_what_the_rule_says_is_told(
    watching: Callable[..., Page], said: dict[str, Any], heading: str, told: str
) -> None:
    page = watching(**said)
    section = page.get_by_role("region", name=heading)
    expect(section).to_contain_text(told)
    expect(section).to_contain_text("85 % of 20 answers confirmed; 61 new reviewed labels")
    expect(section).to_contain_text("A worker looked at 2026-11-02 10:30 UTC")
    for reason in said.get("reasons", []):
        expect(section.get_by_role("listitem")).to_have_text(reason)
    assert violations(page) == []


def test_the_window_is_chosen(sign_in: Callable[[Role], Page], ward: Ward) -> None:
    page = sign_in(Role.VIEWER)
    page.get_by_role("link", name="Watching").click()
    page.get_by_label("Cases of the last").select_option("90")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**/watching?days=90")
    expect(page.get_by_text("none of the cases that taught the model is stored here")).to_be_visible()
    expect(page.get_by_text("training held too few cases back")).to_be_visible()
