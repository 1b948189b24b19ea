"""Which cases, in which order: conditions, sort keys that an index serves, cursors, counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, func, or_, select, tuple_
from sqlalchemy.orm import Session, aliased

from api.cases.schemas import CaseConditions, CaseCounts, CaseFilter, CaseOut, Order, Review
from api.cases.tables import NOT_KNOWN, CaseLabelRow, CaseRow, ReviewState
from api.cases.views import REVIEW
from api.ground.cursors import opened, sealed
from api.ground.ids import first_id
from api.problems import Invalid, PointedError

SORTED_BY: dict[Order, tuple[str, ...]] = {
    "newest": ("id",),
    "worklist": ("review_state", "uncertainty", "id"),
    "uncertainty": ("uncertainty", "id"),
    "disagreement": ("disagreement", "id"),
    "information": ("information", "id"),
}
"""All falling, so that one index read backwards serves an order; ids grow with time."""
DOUBTS = ("uncertainty", "disagreement", "information")
STATES: dict[Review, int] = {name: state for state, name in REVIEW.items()}
BETWEEN = "~"


def fitting(project_id: str, wanted: CaseConditions, also: Sequence[str] = ()) -> Select[CaseRow]:
    """The cases of a project that fit, in no order."""
    return select(CaseRow).where(*_conditions(project_id, wanted, also))


def page(project_id: str, wanted: CaseFilter, also: Sequence[str] = ()) -> Select[CaseRow]:
    """The cases that fit, in the order asked for, after the cursor; raises Invalid where it is of another order.

    ``also``: ids that ``wanted.q`` has where identity was taken away.
    """
    columns = [getattr(CaseRow, name) for name in SORTED_BY[wanted.order]]
    if wanted.diagnosis and wanted.order == "newest":
        # the labels of one diagnosis stand in the order of their cases: however rare it is, none is looked at in vain
        query = fitting(project_id, wanted.model_copy(update={"diagnosis": None}), also)
        query = query.join(CaseLabelRow, CaseLabelRow.case_id == CaseRow.id)
        query = query.where(CaseLabelRow.project_id == project_id, CaseLabelRow.code == wanted.diagnosis)
        columns = [CaseLabelRow.case_id]
    else:
        query = fitting(project_id, wanted, also)
    query = query.order_by(*(column.desc() for column in columns))
    if wanted.cursor is None:
        return query
    return query.where(tuple_(*columns) < tuple_(*_parsed(wanted.cursor, wanted.order)))


def position(case: CaseOut, order: Order) -> str:
    """Where a case stands in an order, as a cursor: what comes after it stays the same when the case itself moves."""
    found = {
        "id": case.id,
        "review_state": STATES[case.review],
        **{name: NOT_KNOWN if (key := getattr(case, name)) is None else key for name in DOUBTS},
    }
    return sealed(BETWEEN.join(str(found[name]) for name in SORTED_BY[order]))


def is_position(cursor: str, order: Order) -> bool:
    """Whether a cursor is one of this order."""
    try:
        _parsed(cursor, order)
    except Invalid:
        return False
    return True


def count(session: Session, project_id: str, wanted: CaseConditions, also: Sequence[str] = ()) -> CaseCounts:
    """How many cases of each state of review fit."""
    query = select(CaseRow.review_state, func.count()).where(*_conditions(project_id, wanted, also))
    counted = dict.fromkeys(STATES, 0)
    for state, cases in session.execute(query.group_by(CaseRow.review_state)):
        counted[REVIEW[state]] = cases
    return CaseCounts(**counted, all=sum(counted.values()))


def _conditions(project_id: str, wanted: CaseConditions, also: Sequence[str]) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [CaseRow.project_id == project_id]
    if wanted.q:
        found = (CaseRow.external_id, CaseRow.patient_id, CaseRow.note)
        in_words = [column.icontains(wanted.q, autoescape=True) for column in found]
        named = [column.in_(also) for column in (CaseRow.patient_id, CaseRow.external_id)] if also else []
        conditions.append(or_(*in_words, *named, CaseRow.id == wanted.q))  # each by an index, so that all are
    if wanted.diagnosis:
        label = aliased(CaseLabelRow)  # not the one that a page may be joined with
        labels = (label.project_id == project_id, label.code == wanted.diagnosis)
        conditions.append(exists().where(*labels, label.case_id == CaseRow.id))
    if wanted.labelled is not None:
        conditions.append(CaseRow.diagnoses.is_not(None) if wanted.labelled else CaseRow.diagnoses.is_(None))
    if wanted.golden is not None:
        conditions.append(CaseRow.golden_at.is_not(None) if wanted.golden else CaseRow.golden_at.is_(None))
    if wanted.since is not None:
        conditions += [CaseRow.created_at >= wanted.since, CaseRow.id >= first_id("case", wanted.since)]
    if isinstance(wanted, CaseFilter) and wanted.review is not None:
        conditions.append(CaseRow.review_state == STATES[wanted.review])
    return conditions


def _parsed(cursor: str, order: Order) -> list[Any]:
    names = SORTED_BY[order]
    try:
        parts = opened(cursor).split(BETWEEN)
        return [_value(name, part) for name, part in zip(names, parts, strict=True)]
    except ValueError as error:
        fault = PointedError(pointer="/cursor", detail=f"no cursor of the order {order}: take next_cursor as it came")
        raise Invalid("the cursor does not fit the order", errors=[fault]) from error


def _value(name: str, part: str) -> str | int | float:
    if name == "id":
        if not part:
            raise ValueError(part)
        return part
    if name == "review_state":
        return int(ReviewState(int(part)))
    value = float(part)
    if not math.isfinite(value):
        raise ValueError(part)
    return value
