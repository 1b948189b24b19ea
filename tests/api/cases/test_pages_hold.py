"""Pages hold: whatever comes, goes and changes between two of them, a case that stays is seen once, in its place."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.access.service import Caller
from api.cases.schemas import CaseFilter, Order
from api.cases.service import Cases
from api.cases.tables import NOT_KNOWN, CaseRow
from api.ground.clock import now
from api.ground.ids import new_id

KEYS = (NOT_KNOWN, 0.0, 0.25, 0.881291, 1.0)
ORDERS: list[Order] = ["newest", "worklist", "uncertainty", "disagreement", "information"]
FILTERS: list[dict[str, Any]] = [
    {}, {"labelled": True}, {"labelled": False}, {"review": "unsure"}, {"diagnosis": "pneumonia"}, {"q": "fever"},
    {"labelled": True, "q": "fever"},
]  # fmt: skip


def placed(row: CaseRow, chance: random.Random) -> CaseRow:
    """The case, moved in one order or another to where it has many equals."""
    Cases.label(row, chance.choice([None, [], ["pneumonia"], ["covid-19", "pneumonia"]]), "somebody", now())
    row.review_state = chance.randrange(4)
    for name in ("uncertainty", "disagreement", "information"):
        setattr(row, name, chance.choice(KEYS))
    return row


def new_case(project: str, chance: random.Random) -> CaseRow:
    moment, note = now(), chance.choice(["fever", "cough", "fever and cough"])
    row = CaseRow(
        id=new_id("case"), project_id=project, patient_id="p", note=note, vitals={}, synthetic=True, created_at=moment,
        updated_at=moment, version=1,
    )  # fmt: skip
    return placed(row, chance)


def something_happens(services: Any, who: Caller, movers: list[str], chance: random.Random) -> None:
    """Cases come, others move to another place or are erased; ``movers`` alone are touched."""
    with services.ground.database.transaction() as session:
        session.add_all(new_case(who.project_id, chance) for _ in range(chance.randrange(3)))
        for mover in chance.sample(movers, len(movers) // 2):
            row = session.get(CaseRow, mover)
            if row is not None and chance.random() < 0.3:
                session.delete(row)
            elif row is not None:
                placed(row, chance)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(ORDERS), st.sampled_from(FILTERS), st.integers(1, 7), st.integers(0, 24), st.integers(0, 2**32))
def test_a_case_that_stays_is_seen_once_and_in_its_place(
    services: Any, order: Order, wanted: dict[str, Any], limit: int, cases: int, seed: int
) -> None:
    chance, who = random.Random(seed), services.access.operator(f"project {new_id('x')}")
    rows = [new_case(who.project_id, chance) for _ in range(cases)]
    with services.ground.database.transaction() as session:
        session.add_all(rows)
    whole = CaseFilter.model_validate({**wanted, "order": order, "limit": 200})
    before = [case.id for case in services.cases.list(who, whole).items]
    movers = [row.id for row in rows if chance.random() < 0.4]
    seen: list[str] = []
    page = services.cases.list(who, whole.model_copy(update={"limit": limit}))
    while True:
        assert len(page.items) <= limit
        seen += [case.id for case in page.items]
        if page.next_cursor is None:
            break
        something_happens(services, who, movers, chance)
        page = services.cases.list(who, whole.model_copy(update={"limit": limit, "cursor": page.next_cursor}))
    stay = [case for case in before if case not in movers]
    assert [case for case in seen if case in stay] == stay
    assert len([case for case in seen if case not in movers]) == len({case for case in seen if case not in movers})


def test_a_time_finds_what_was_stored_at_it_and_later(client: Any) -> None:
    made = [client.post("/cases", json={"patient": {"id": f"p-{n}"}, "note": "Fever."}).json() for n in range(5)]
    for position, case in enumerate(made):
        found = client.get("/cases", params={"since": case["created_at"]}).raise_for_status().json()["items"]
        assert [one["id"] for one in found] == [one["id"] for one in made[position:]][::-1]


@pytest.mark.parametrize("moment", ["1900-01-01T00:00:00Z", "1969-12-31T23:59:59.999Z", "2199-12-31T23:59:59-14:00"])
def test_times_before_and_after_everything_are_times_too(client: Any, moment: str) -> None:
    client.post("/cases", json={"patient": {"id": "p"}, "note": "Fever."}).raise_for_status()
    found = client.get("/cases", params={"since": moment}).raise_for_status().json()["items"]
    assert len(found) == (0 if moment > "2100" else 1)
