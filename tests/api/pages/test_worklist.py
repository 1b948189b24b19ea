"""The worklist in the browser: tabs, counts and orders; review by keys alone, undo, on to the next case."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import event

from api.reviews.schemas import ReviewIn
from tests.api.pages.conftest import Ward

pytestmark = pytest.mark.browser


def show(page: Page, ward: Ward, q: str, **filters: str) -> None:
    page.goto(ward.list_of(q, **filters))


def weigh(ward: Ward, case_id: str, uncertainty: float, disagreement: float = -1.0, information: float = -1.0) -> None:
    """Give a case its place in the list, whatever the tiny model says of it."""
    with ward.services.ground.database.transaction() as session:
        row = ward.services.cases.row(session, ward.admin.project_id, case_id)
        row.uncertainty, row.disagreement, row.information = uncertainty, disagreement, information


def test_tabs_count_what_is_left_and_filter_under_the_same_search(clinician: Page, ward: Ward) -> None:
    cases = [ward.note_only("tabs are counted", patient=f"tab-{n}") for n in range(4)]
    ward.services.reviews.create(ward.admin, cases[0], ReviewIn(verdict="unsure"))
    ward.services.reviews.create(ward.admin, cases[1], ReviewIn(verdict="override", diagnoses=["pneumonia"]))
    show(clinician, ward, q="tabs are counted")
    expect(clinician.locator(".tabs a")).to_have_text(
        ["All 4", "To review 2", "Unsure 1", "Reviewed 1", "Came with a label 0"]
    )
    clinician.get_by_role("link", name="To review").click()
    expect(clinician.locator(".tabs a[aria-current]")).to_have_text("To review 2")
    expect(clinician.locator("a.open")).to_have_text(["tab-3", "tab-2"])
    expect(clinician.get_by_label("Search")).to_have_value("tabs are counted")
    clinician.get_by_role("link", name="Came with a label").click()
    expect(clinician.get_by_text("No case fits.")).to_be_visible()


def test_orders_sort_the_list_and_stay_in_the_address(clinician: Page, ward: Ward) -> None:
    cases = {name: ward.note_only("orders are chosen", patient=name) for name in ("calm", "torn", "disputed", "new")}
    for name, keys in {"calm": (0.1, 0.2, 0.6), "torn": (0.9, -1, 0.2), "disputed": (0.5, 1, 0.4)}.items():
        weigh(ward, cases[name], *keys)
    ward.services.reviews.create(ward.admin, cases["torn"], ReviewIn(verdict="unsure"))
    weigh(ward, cases["torn"], 0.9, information=0.2)
    show(clinician, ward, q="orders are chosen")
    expect(clinician.locator("a.open")).to_have_text(["disputed", "calm", "new", "torn"])  # to review first
    expect(clinician.locator("tr", has_text="new").get_by_text("not predicted yet")).to_be_visible()
    for order, expected in {
        "uncertainty": ["torn", "disputed", "calm", "new"],
        "disagreement": ["disputed", "calm", "new", "torn"],
        "information": ["calm", "disputed", "torn", "new"],
        "newest": ["new", "disputed", "torn", "calm"],
    }.items():
        clinician.get_by_label("Order").select_option(order)
        clinician.wait_for_url(f"**/?*order={order}*")
        expect(clinician.locator("a.open")).to_have_text(expected)
    clinician.get_by_role("link", name="Unsure").click()
    clinician.wait_for_url("**/?*review=unsure*")
    assert "order=newest" in clinician.url


def test_what_a_case_would_teach_is_told_where_the_list_is_ordered_by_it(clinician: Page, ward: Ward) -> None:
    cases = {name: ward.note_only("most to learn from", patient=name) for name in ("telling", "dull")}
    for name, information in {"telling": 0.34, "dull": 0.12}.items():
        weigh(ward, cases[name], 0.5, information=information)
    show(clinician, ward, q="most to learn from")
    expect(clinician.locator("[data-name=information]")).to_have_count(0)
    clinician.get_by_label("Order").select_option("most to learn from")
    expect(clinician.locator("[data-name=information]")).to_have_text([re.compile("0.34"), re.compile("0.12")])
    clinician.get_by_role("link", name="telling").click()
    clinician.wait_for_url(f"**/cases/{cases['telling']}*")  # loaded, scripts too
    clinician.keyboard.press("n")  # the next case is the next in this order
    clinician.wait_for_url(f"**/cases/{cases['dull']}*")
    expect(clinician.locator("h1")).to_have_text("dull")


def test_from_the_list_through_reviews_to_the_next_case_by_keys_alone(clinician: Page, ward: Ward) -> None:
    cases = [ward.note_only("keys alone", patient=f"key-{n}") for n in range(3)]
    for n, case_id in enumerate(cases):
        ward.services.predictions.create(ward.admin, case_id)
        weigh(ward, case_id, 0.9 - n / 10)
    show(clinician, ward, q="keys alone", review="unreviewed")
    for key in ("j", "Enter"):
        clinician.keyboard.press(key)
    clinician.wait_for_url(f"**/cases/{cases[0]}*")  # loaded, scripts too
    for key in ("c", "Enter"):
        clinician.keyboard.press(key)
    expect(clinician.locator("[data-notice]")).to_contain_text("Saved: confirm")
    clinician.keyboard.press("n")  # the case has left the tab; the next one is still the one after it
    clinician.wait_for_url(f"**/cases/{cases[1]}*")
    expect(clinician.locator("h1")).to_have_text("key-1")
    digits = clinician.locator("[data-digit='2'], [data-digit='3']").evaluate_all("all => all.map(b => b.value)")
    for key in ("2", "o", "2", "3", "4", "4", "Enter"):  # a digit means nothing before o; twice takes it back
        clinician.keyboard.press(key)
    expect(clinician.locator("[data-notice]")).to_contain_text("Saved: override")
    clinician.keyboard.press("n")
    clinician.wait_for_url(f"**/cases/{cases[2]}*")
    expect(clinician.locator("h1")).to_have_text("key-2")
    clinician.keyboard.press("r")
    clinician.keyboard.type("Ask c o u n z 1")
    clinician.keyboard.press("Tab")
    for key in ("u", "Enter"):
        clinician.keyboard.press(key)
    expect(clinician.locator("[data-notice]")).to_contain_text("Saved: unsure")
    [[first], [second], [third]] = [ward.services.reviews.history(ward.admin, case_id) for case_id in cases]
    assert (first.verdict, second.verdict, third.verdict) == ("confirm", "override", "unsure")
    assert (second.diagnoses, third.comment) == (sorted(digits), "Ask c o u n z 1")
    clinician.get_by_role("link", name="All cases").click()
    expect(clinician.get_by_text("No case fits.")).to_be_visible()  # the tab holds nothing more


def test_undo_takes_back_ones_own_newest_word_and_the_history_tells(clinician: Page, ward: Ward) -> None:
    case_id = ward.note_only("undone again")
    ward.services.reviews.create(ward.admin, case_id, ReviewIn(verdict="override", diagnoses=["covid-19"]))
    clinician.goto(f"{ward.url}/cases/{case_id}")
    clinician.keyboard.press("z")  # the only word is another reader's: nothing happens
    for key in ("o", "1", "Enter"):
        clinician.keyboard.press(key)
    expect(clinician.locator(".case-head .done")).not_to_contain_text("COVID-19")
    expect(clinician.locator("[data-notice]").get_by_role("button", name="Undo")).to_be_visible()
    clinician.keyboard.press("z")
    expect(clinician.locator("[data-notice]")).to_contain_text("Withdrawn: override")
    expect(clinician.locator(".case-head .done")).to_have_text("label: COVID-19")
    expect(clinician.locator(".history li.withdrawn")).to_contain_text("withdrawn by Dr. clinician")
    assert clinician.locator("[data-undo]").count() == 0
    assert ward.services.cases.get(ward.admin, case_id).diagnoses == ["covid-19"]


def test_a_word_of_an_earlier_visit_is_undone_from_the_history(clinician: Page, ward: Ward) -> None:
    case_id = ward.note_only("undone later")
    clinician.goto(f"{ward.url}/cases/{case_id}")
    for key in ("u", "Enter"):
        clinician.keyboard.press(key)
    expect(clinician.locator("[data-notice]")).to_be_visible()
    clinician.goto(f"{ward.url}/cases/{case_id}")
    expect(clinician.locator("[data-notice]")).to_have_count(0)
    clinician.locator(".history").get_by_role("button", name="Undo").click()
    expect(clinician.locator(".history .withdrawn")).to_have_count(1)


def test_what_the_model_before_said_stands_beside_the_probabilities(
    clinician: Page, ward: Ward, trained_bundle: Path
) -> None:
    case_id = ward.note_only("two models spoke")
    other = ward.services.models.register(ward.admin, None, trained_bundle, "another").id
    ward.services.predictions.create(ward.admin, case_id, other)
    clinician.goto(f"{ward.url}/cases/{case_id}")
    assert clinician.locator(".diagnoses .was").count() == 0
    newest = ward.services.predictions.create(ward.admin, case_id)
    clinician.reload()
    expect(clinician.locator(".diagnoses .was")).to_have_count(len(newest.diagnoses))
    expect(clinician.locator(".diagnoses .was").first).to_have_text(re.compile(r"was (< |> )?\d+\s%"))
    expect(clinician.locator(".diagnoses .was").first).to_have_attribute("title", re.compile(other))


def test_the_list_asks_the_database_no_more_for_many_cases_than_for_one(clinician: Page, ward: Ward) -> None:
    def asked(query: str) -> int:
        statements: list[str] = []

        def note(*told: Any) -> None:
            statements.append(told[2])

        engine = ward.services.ground.database.engine
        event.listen(engine, "before_cursor_execute", note)
        show(clinician, ward, q=query)
        event.remove(engine, "before_cursor_execute", note)
        return sum(statement.lstrip().upper().startswith("SELECT") for statement in statements)

    for n in range(12):
        case_id = ward.note_only("counted queries", patient=f"queried-{n}")
        ward.services.predictions.create(ward.admin, case_id)
    one = asked("queried-11")
    assert clinician.locator("a.open").count() == 1
    assert asked("counted queries") == one
    assert clinician.locator("a.open").count() == 12
