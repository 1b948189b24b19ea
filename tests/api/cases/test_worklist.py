"""The worklist: what waits most comes first, an index serves each order, counts say how much is left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from api.cases import worklist
from api.cases.schemas import CaseFilter
from api.predictions.doubt import uncertainty
from tests.api.conftest import case_json

Says = Callable[..., dict[str, Any]]
ORDERS = ["newest", "worklist", "uncertainty", "disagreement", "information"]


def submit(client: httpx.Client, name: str, label: Any = ...) -> str:
    body = case_json(external_id=name, diagnoses=label)
    return str(client.post("/cases", json=body).raise_for_status().json()["id"])


def review(client: httpx.Client, case: str, verdict: str, diagnoses: list[str] | None = None) -> dict[str, Any]:
    said = {"verdict": verdict, "diagnoses": diagnoses}
    return dict(client.post(f"/cases/{case}/reviews", json=said).raise_for_status().json())


def listed(client: httpx.Client, **params: Any) -> list[str]:
    return [c["external_id"] for c in client.get("/cases", params=params).raise_for_status().json()["items"]]


def keys(client: httpx.Client, case: str) -> tuple[str, float | None, float | None]:
    found = client.get(f"/cases/{case}").json()
    return found["review"], found["uncertainty"], found["disagreement"]


@pytest.fixture
def ward(client: httpx.Client, model: str, says: Says) -> dict[str, str]:
    """Six cases, each in another state; ``sure`` is the newest of those that nobody has reviewed."""
    cases = {name: submit(client, name) for name in ("unpredicted", "torn", "unsure", "reviewed", "sure")}
    cases["submitted"] = submit(client, "submitted", ["pneumonia"])
    for name, p in {"torn": 0.5, "unsure": 0.6, "reviewed": 0.55, "sure": 0.99, "submitted": 0.2}.items():
        says(cases[name], {"pneumonia": p, "covid-19": 0.001})
    review(client, cases["unsure"], "unsure")
    review(client, cases["reviewed"], "override", ["covid-19"])
    return cases


@pytest.mark.parametrize(
    ("probabilities", "told"),
    [
        ([0.5, 0.001], 1.0),  # may co-occur: the one it is least sure of counts
        ([0.9, 0.2], 0.721928),
        ([1.0, 0.0, 0.0, 0.5], 1.0),
        ([1 / 3, 1 / 3, 1 / 3], 1.0),  # exactly one holds: entropy over all
        ([0.5, 0.5, 0.0, 0.0], 0.5),
        ([1.0, 0.0], 0.0),
    ],
)
def test_uncertainty_is_an_entropy_between_0_and_1(probabilities: list[float], told: float) -> None:
    assert uncertainty(probabilities) == pytest.approx(told, abs=1e-6)


def test_the_worklist_shows_what_waits_first_and_what_is_most_uncertain_before_the_rest(
    client: httpx.Client, ward: dict[str, str]
) -> None:
    assert listed(client, order="worklist") == ["torn", "sure", "unpredicted", "unsure", "reviewed", "submitted"]


def test_a_case_that_nobody_predicted_sorts_last_and_says_so(client: httpx.Client, ward: dict[str, str]) -> None:
    expected = ["torn", "reviewed", "unsure", "submitted", "sure", "unpredicted"]
    assert listed(client, order="uncertainty") == expected
    assert keys(client, ward["unpredicted"]) == ("unreviewed", None, None)
    assert keys(client, ward["torn"]) == ("unreviewed", 1.0, None)


def test_disagreement_is_the_distance_from_the_label(client: httpx.Client, model: str, says: Says) -> None:
    sent, said = submit(client, "submitted", ["pneumonia"]), submit(client, "reviewed")
    for case in (sent, said):
        says(case, {"pneumonia": 0.2, "covid-19": 0.001})
    review(client, said, "override", ["covid-19"])
    assert (keys(client, sent)[2], keys(client, said)[2]) == (pytest.approx(0.8), pytest.approx(0.999))
    assert listed(client, order="disagreement") == ["reviewed", "submitted"]


def test_without_a_label_disagreement_is_the_distance_from_the_model_before(
    client: httpx.Client, model: str, new_model: Callable[[], str], says: Says
) -> None:
    case, other = submit(client, "twice"), new_model()
    says(case, {"pneumonia": 0.9, "covid-19": 0.1}, model)
    says(case, {"pneumonia": 0.8, "covid-19": 0.2}, model)
    assert keys(client, case)[2] is None  # one model alone agrees with itself
    says(case, {"pneumonia": 0.3, "covid-19": 0.1}, other)
    assert keys(client, case)[2] == pytest.approx(0.5)
    client.patch(f"/cases/{case}", json={"note": "Another note."}).raise_for_status()
    says(case, {"pneumonia": 0.99, "covid-19": 0.1}, model)
    assert keys(client, case)[2] is None  # of this version of the case no other model has said anything


def test_two_reviewers_who_name_different_diagnoses_disagree_wholly(
    client_as: Callable[[str], httpx.Client], model: str, says: Says
) -> None:
    first, second = client_as("clinician"), client_as("admin")
    case = submit(first, "contested")
    review(first, case, "override", ["pneumonia"])
    other = review(second, case, "override", ["covid-19"])
    assert keys(first, case) == ("reviewed", None, 1.0)
    says(case, {"pneumonia": 0.4, "covid-19": 0.9})
    assert keys(first, case)[2] == 1.0
    second.post(f"/reviews/{other['id']}/withdraw").raise_for_status()
    assert keys(first, case)[2] == pytest.approx(0.9)  # now the label is pneumonia alone
    review(second, case, "override", ["pneumonia"])
    assert keys(first, case)[2] == pytest.approx(0.9)


def teaches(client: httpx.Client, case: str) -> float | None:
    told: float | None = client.get(f"/cases/{case}").json()["information"]
    return told


def test_what_a_label_would_teach_comes_first_and_what_has_one_last_but_for_the_unknown(
    client: httpx.Client, model: str, says: Says
) -> None:
    cases = {name: submit(client, name) for name in ("little", "much", "some", "before it was told", "unpredicted")}
    cases["labelled"] = submit(client, "labelled", ["pneumonia"])
    for name, told in {"little": 0.1, "much": 0.7, "some": 0.4, "labelled": 0.9, "before it was told": None}.items():
        says(cases[name], {"pneumonia": 0.5}, information=told)
    expected = ["much", "some", "little", "labelled", "unpredicted", "before it was told"]
    assert listed(client, order="information") == expected
    assert paged(client, order="information", limit=1) == expected
    told = {name: teaches(client, case) for name, case in cases.items()}
    assert (told["much"], told["labelled"], told["unpredicted"]) == (pytest.approx(0.7), 0, None)
    assert told["before it was told"] is None


def test_a_label_takes_a_case_off_the_top_of_what_teaches_and_undoing_brings_it_back(
    client: httpx.Client, model: str, says: Says
) -> None:
    case = submit(client, "teaches")
    says(case, {"pneumonia": 0.5}, information=0.6)
    said = review(client, case, "override", ["covid-19"])
    assert teaches(client, case) == 0
    client.post(f"/reviews/{said['id']}/withdraw").raise_for_status()
    assert teaches(client, case) == pytest.approx(0.6)
    review(client, case, "unsure")
    assert teaches(client, case) == pytest.approx(0.6)  # still no label


def test_pages_of_what_teaches_most_go_on_where_they_were_while_reviews_move_cases(
    client: httpx.Client, model: str, says: Says
) -> None:
    cases = [submit(client, f"page {n}") for n in range(5)]
    for n, case in enumerate(cases):
        says(case, {"pneumonia": 0.5}, information=0.3 if n in (1, 2) else 0.9 - n / 10)  # two teach the same
    first = client.get("/cases", params={"order": "information", "limit": 2}).json()
    review(client, cases[0], "override", [])
    says(cases[4], {"pneumonia": 0.5}, information=0.95)  # rises above the page that was read
    rest = paged(client, order="information", limit=1, cursor=first["next_cursor"])
    assert [c["external_id"] for c in first["items"]] == ["page 0", "page 3"]
    assert rest == ["page 2", "page 1", "page 0"]


def test_a_label_changed_by_hand_moves_the_case(client: httpx.Client, ward: dict[str, str]) -> None:
    client.patch(f"/cases/{ward['torn']}", json={"diagnoses": []}).raise_for_status()
    assert keys(client, ward["torn"]) == ("submitted", 1.0, 0.5)
    client.patch(f"/cases/{ward['torn']}", json={"diagnoses": None}).raise_for_status()
    assert keys(client, ward["torn"]) == ("unreviewed", 1.0, None)


def paged(client: httpx.Client, **params: Any) -> list[str]:
    seen: list[str] = []
    while True:
        page = client.get("/cases", params=params).raise_for_status().json()
        seen += [c["external_id"] for c in page["items"]]
        if page["next_cursor"] is None:
            return seen
        params["cursor"] = page["next_cursor"]


def test_pages_of_each_order_hold_every_case_once(client: httpx.Client, ward: dict[str, str]) -> None:
    for order in ORDERS:
        whole = listed(client, order=order)
        assert sorted(whole) == sorted(ward)
        for limit in (1, 4):
            assert paged(client, order=order, limit=limit) == whole


def test_a_review_does_not_make_the_next_page_skip_a_case(client: httpx.Client, ward: dict[str, str]) -> None:
    first = client.get("/cases", params={"order": "worklist", "limit": 1}).json()
    review(client, ward["torn"], "override", [])  # the case of the first page moves far down
    rest = listed(client, order="worklist", cursor=first["next_cursor"], limit=2)
    assert rest == ["sure", "unpredicted"]


def test_counts_tell_what_is_left_under_the_same_conditions(client: httpx.Client, ward: dict[str, str]) -> None:
    counts = client.get("/cases/counts").json()
    assert counts == {"unreviewed": 3, "unsure": 1, "reviewed": 1, "submitted": 1, "all": 6}
    for state in ("unreviewed", "unsure", "reviewed", "submitted"):
        assert len(listed(client, review=state)) == counts[state]
    some = {"unreviewed": 0, "unsure": 0, "reviewed": 1, "submitted": 0, "all": 1}
    assert client.get("/cases/counts", params={"diagnosis": "covid-19"}).json() == some
    assert client.post("/cases/counts", json={"labelled": False, "q": "acc"}).json()["all"] == 0
    assert client.post("/cases/counts", json={"q": "tor"}).json() == {**some, "unreviewed": 1, "reviewed": 0}
    torn = client.post("/cases/search", json={"review": "unreviewed", "order": "uncertainty", "q": "tor"}).json()
    assert [case["external_id"] for case in torn["items"]] == ["torn"]
    assert listed(client, review="reviewed", labelled="false") == []


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ({"order": "alphabet"}, "/order"),
        ({"review": "done"}, "/review"),
        ({"order": "uncertainty", "cursor": "case_1"}, "/cursor"),
        ({"order": "uncertainty", "cursor": "nan~case_1"}, "/cursor"),
        ({"order": "worklist", "cursor": "7~0.5~case_1"}, "/cursor"),
        ({"order": "information", "cursor": "inf~case_1"}, "/cursor"),
        ({"order": "newest", "cursor": "0.5~case_1"}, "/cursor"),
    ],
)
def test_a_wrong_order_state_or_cursor_is_422_and_names_itself(
    client: httpx.Client, params: dict[str, Any], pointer: str
) -> None:
    answer = client.get("/cases", params=params)
    assert answer.status_code == 422, answer.text
    assert [e["pointer"] for e in answer.json()["errors"]] == [pointer]


@pytest.mark.parametrize("order", ["worklist", "uncertainty", "disagreement", "information"])
def test_an_index_serves_each_order_so_that_nothing_is_sorted(services: Any, order: Any) -> None:
    engine = services.ground.database.engine
    query = worklist.page("project_x", CaseFilter(order=order)).limit(40)
    plain = str(query.compile(engine, compile_kwargs={"literal_binds": True}))
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":  # on an empty table it would read and sort everything
            connection.execute(text("SET enable_seqscan = off"))
        explain = "EXPLAIN" if engine.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
        plan = " ".join(str(row) for row in connection.exec_driver_sql(f"{explain} {plain}"))
    assert f"ix_cases_{order}" in plan
    assert "sort" not in plan.lower()
    assert "B-TREE" not in plan


def test_sort_keys_are_stored_with_the_prediction_or_not_at_all(
    client: httpx.Client, model: str, says: Says, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("the case cannot be weighed")

    case = submit(client, "whole")
    with monkeypatch.context() as patched:
        patched.setattr("api.predictions.service.weigh", broken)
        with pytest.raises(httpx.HTTPStatusError):
            says(case, {"pneumonia": 0.5})
    assert client.get(f"/cases/{case}/predictions").json() == {"items": []}
    assert keys(client, case) == ("unreviewed", None, None)
