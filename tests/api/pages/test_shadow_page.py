"""A shadow beside the serving model, in the browser: who decides sees it, who reviews does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from api.access.service import Role
from api.shadows.scoring import Scoring
from clinical_mm.case import Case
from clinical_mm.phantom import draw
from tests.api.pages.conftest import Ward
from tests.api.pages.test_accessibility import violations

pytestmark = pytest.mark.browser
CASES = 12


@pytest.fixture
def challenger(ward: Ward, trained_bundle: Any) -> Iterator[str]:
    """The id of a model that does not serve, and is no shadow afterwards."""
    model = str(ward.services.models.register(ward.admin, None, trained_bundle, "challenger").id)
    yield model
    if ward.services.shadows.current(ward.admin) == model:
        ward.services.shadows.end(ward.admin, model)


class Bolder:
    """What the serving model says of a case, a little bolder: a shadow without a network of its own."""

    def __init__(self, serving: Any) -> None:
        self._serving = serving

    def predict(self, cases: list[Case]) -> list[Any]:
        return [
            replace(said, diagnoses=tuple(replace(d, probability=d.probability**0.5) for d in said.diagnoses))
            for said in self._serving.predict(cases)
        ]


@pytest.fixture
def scored(ward: Ward, challenger: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A shadow that has scored cases, half of them reviewed."""
    ward.services.shadows.begin(ward.admin, challenger)
    told = [replace(d.case, images=()) for d in draw(60, 5) if d.case.note and d.case.vitals][:CASES]
    for number, drawn in enumerate(told):
        case_id = ward.submit(drawn)
        prediction = ward.services.predictions.create(ward.admin, case_id)
        if number % 2:
            said = {"prediction": prediction.id, "verdict": "override", "diagnoses": drawn.diagnoses}
            ward.services.reviews.create(ward.admin, case_id, review(said))
    serving = ward.services.models.predictor(ward.services.models.serving_id(ward.admin.project_id))
    monkeypatch.setattr(ward.services.models, "predictor", lambda _: Bolder(serving))
    scoring = Scoring(ward.services.ground, ward.services.cases, ward.services.models)
    for shadow in scoring.due():
        while scoring.batch(shadow):
            pass
    return challenger


def review(said: dict[str, Any]) -> Any:
    from api.reviews.schemas import ReviewIn

    return ReviewIn.model_validate(said)


def test_an_admin_begins_and_ends_it(sign_in: Callable[[Role], Page], ward: Ward, challenger: str) -> None:
    page = sign_in(Role.ADMIN)
    page.goto(f"{ward.url}/models/{challenger}/comparison")
    page.get_by_role("button", name="Let it shadow the serving model").click()
    section = page.locator("#shadow")
    expect(section).to_contain_text("in shadow since")
    expect(section).to_contain_text("0 scored, 0 waiting, 0 failed.")
    page.get_by_role("link", name="Models").click()
    page.locator("tr", has_text=challenger).get_by_role("link", name="in shadow").click()
    page.get_by_role("button", name="End shadowing").click()
    expect(page.get_by_role("button", name="Shadow again")).to_be_visible()
    assert ward.services.shadows.current(ward.admin) is None


def test_a_trainer_sees_both_beside_each_other_drawn(
    sign_in: Callable[[Role], Page], ward: Ward, scored: str, faults: list[str]
) -> None:
    page = sign_in(Role.TRAINER)
    page.goto(f"{ward.url}/models/{scored}/comparison")
    section = page.locator("#shadow")
    expect(section).to_contain_text(f"{CASES} scored, 0 waiting, 0 failed")
    expect(section.locator("tr", has_text="The same diagnosis is most probable")).to_contain_text(
        f"100 % [76–100 %] of {CASES} cases"
    )
    expect(section.locator("tr", has_text="Log loss")).to_be_visible()
    expect(section).to_contain_text(f"{CASES // 2} reviewed cases of")
    report = ward.services.shadows.report(ward.admin, scored)
    square = section.locator("svg.joint").first
    drawn = square.locator(".cell").evaluate_all("all => all.map(c => [+c.getAttribute('x'), 9 - c.getAttribute('y')])")
    joint = report.diagnoses[0].joint
    assert sorted(map(tuple, drawn)) == [(x, y) for x in range(10) for y in range(10) if joint[x][y]]
    expect(square).to_have_attribute(
        "aria-label", f"{sum(joint[x][x] for x in range(10))} of {CASES} cases in the same tenth of probability"
    )
    expect(section.get_by_role("link", name=report.most_apart[0].case)).to_have_attribute(
        "href", f"/cases/{report.most_apart[0].case}"
    )
    expect(section.get_by_role("button")).to_have_count(0)
    assert violations(page) == []
    assert faults == []


def test_whoever_reviews_sees_no_trace_of_it(clinician: Page, ward: Ward, scored: str) -> None:
    apart = ward.services.shadows.report(ward.admin, scored).most_apart[0]
    for path in (f"/models/{scored}/comparison", "/models", f"/models/{scored}", f"/cases/{apart.case}", "/"):
        clinician.goto(ward.url + path)
        expect(clinician.locator("main")).to_be_visible()
        expect(clinician.locator("main")).not_to_contain_text("shadow", ignore_case=True)
    answer = clinician.request.get(f"{ward.url}/v1/models/{scored}/shadow")
    assert answer.status in {401, 403}
