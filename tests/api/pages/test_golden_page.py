"""The golden set in the browser: an admin locks a case's label, everybody sees that it is locked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from api.access.service import Role
from api.cases.schemas import CaseChange
from api.training.record import RunRecord
from tests.api.pages.conftest import Ward
from tests.api.pages.test_accessibility import violations
from tests.api.pages.test_training_run_page import asked

pytestmark = pytest.mark.browser


@pytest.fixture
def labelled(ward: Ward) -> str:
    case_id = ward.note_only("Fever and cough for three days.")
    ward.services.cases.change(ward.admin, case_id, CaseChange(diagnoses=["pneumonia"]))
    return case_id


def test_an_admin_locks_a_label_and_takes_the_lock_away(
    ward: Ward, labelled: str, sign_in: Callable[[Role], Page], faults: list[str]
) -> None:
    page = sign_in(Role.ADMIN)
    page.goto(f"{ward.url}/cases/{labelled}")
    page.get_by_role("button", name="Lock the label: golden case").click()
    expect(page.locator("#golden-said")).to_contain_text("its label was locked by")
    expect(page.locator(".case-head")).to_contain_text("golden")
    assert violations(page) == []
    page.get_by_role("button", name="Take out of the golden set").click()
    expect(page.locator("#golden-said")).to_have_count(0)
    assert ward.services.cases.get(ward.admin, labelled).golden_at is None
    assert faults == []


def test_a_clinician_sees_the_lock_and_no_button(ward: Ward, labelled: str, sign_in: Callable[[Role], Page]) -> None:
    ward.services.golden.add(ward.admin, labelled)
    page = sign_in(Role.CLINICIAN)
    page.goto(f"{ward.url}/cases/{labelled}")
    expect(page.locator("#golden-said")).to_contain_text("A review is kept and does not change it.")
    expect(page.locator("form.golden")).to_have_count(0)


def test_a_run_s_page_tells_whose_labels_are_suspicious(
    ward: Ward, labelled: str, sign_in: Callable[[Role], Page], faults: list[str]
) -> None:
    run = asked(ward)
    record = RunRecord(ward.services.ground, run)
    record.begin()
    record.labels(told_of(labelled))
    page = sign_in(Role.TRAINER)
    page.goto(f"{ward.url}/training/{run}")
    labels = page.get_by_role("region", name="Labels that teach")
    expect(labels).to_contain_text("Labels by key_1 are suspicious in 60% of 10")
    expect(labels).to_contain_text("promotes nothing of this run by itself")
    expect(labels).to_contain_text("Left out: 5 (waits for a second reader).")
    expect(labels.get_by_role("row", name="key_1")).to_contain_text("0.600 [0.310–0.830]")
    labels.get_by_text("The least likely verdicts").click()
    expect(labels.get_by_role("link", name=labelled)).to_be_visible()
    assert violations(page) == []
    assert faults == []
    ward.services.training.cancel(ward.admin, run)


def told_of(case_id: str) -> dict[str, Any]:
    """A report of a run as a worker keeps it."""
    said = "labels by key_1 are suspicious in 60% of 10, those by others in 5% of 40"
    share = {"value": 0.6, "low": 0.31, "high": 0.83}
    of_key = {"reviewer": "key_1", "labels": 10, "suspicious": 6, "share": share, "others": 0.05, "said": said}
    suspect = {"case": case_id, "diagnosis": "pneumonia", "named": True, "score": 0.03}
    counts = {"labels": 50, "as_sent": 40, "reviewed": 10, "golden": 0, "left_out": {"second reader": 5}}
    reviewers = [{"reviewer": "key_1", "labels": 10, "left_out": {"second reader": 5}}]
    noise = {"checked": 50, "suspicious": 8, "reviewers": [of_key], "suspects": [suspect]}
    return {"report": {**counts, "reviewers": reviewers}, "noise": noise, "holds": [said]}
