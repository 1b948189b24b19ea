"""The audit trail in the browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from api.access.service import Role
from api.audit.seen import write_verified
from api.audit.verify import Verdict
from tests.api.pages.conftest import Ward
from tests.api.pages.test_accessibility import violations

pytestmark = pytest.mark.browser


def test_an_admin_sees_who_did_what_newest_first_and_follows_one_object(
    sign_in: Callable[[Role], Page], ward: Ward
) -> None:
    case = ward.note_only("audited")
    page = sign_in(Role.ADMIN)
    page.goto(f"{ward.url}/cases/{case}")
    page.get_by_role("link", name="Audit").click()
    newest = page.locator("table.audit tbody tr", has_text=case).filter(has_text="case.read").first
    expect(newest).to_contain_text("Dr. admin")
    newest.get_by_role("link", name=case).click()
    expect(page.locator("tbody tr td:nth-child(4)").last).to_have_text("case.submit")
    actions = page.locator("tbody tr td:nth-child(4)").all_inner_texts()
    assert "case.read" in actions
    assert set(actions[:-1]) <= {"case.read", "case.similar"}  # what its page asks for by itself
    page.get_by_label("Result").select_option("changed")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("tbody tr td:nth-child(4)")).to_have_text(["case.submit"])
    assert violations(page) == []


def test_how_far_the_chain_was_verified_and_anchored_is_told(sign_in: Callable[[Role], Page], ward: Ward) -> None:
    page = sign_in(Role.ADMIN)
    anchored = ward.services.anchors.write()
    write_verified(ward.services.ground.settings.trail_folder, Verdict(last=anchored))
    page.goto(f"{ward.url}/audit")
    expect(page.get_by_role("heading", name=f"Verified up to entry {anchored}")).to_be_visible()
    expect(page.get_by_text(f"Anchored outside the database up to entry {anchored}")).to_be_visible()
    write_verified(ward.services.ground.settings.trail_folder, Verdict(last=anchored, fault_count=2))
    page.reload()
    expect(page.get_by_role("heading", name=f"2 faults found up to entry {anchored}")).to_be_visible()


def test_nobody_but_an_admin_is_shown_the_way_there(clinician: Page, ward: Ward) -> None:
    expect(clinician.get_by_role("link", name="Audit")).to_have_count(0)
    answer = clinician.goto(f"{ward.url}/audit")
    assert answer is not None
    assert answer.status == 403
