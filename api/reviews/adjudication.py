"""Which label teaches where reviewers disagree.

A case is contested where two reviewers, by the newest word of each that stands, name different diagnoses. ``newest``:
the label in force, which the newest of them set. ``majority``: what more than half of them name, word for word; without
one the case does not teach. ``leave-out``: no contested case teaches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Literal

from sqlalchemy import select

from api.cases.tables import CaseRow
from api.ground.database import Database
from api.reviews.tables import ReviewRow
from clinical_mm.case import Case

Rule = Literal["newest", "majority", "leave-out"]
Label = tuple[str, ...]


def adjudicated(database: Database, project_id: str, cases: Iterable[Case], rule: str) -> Iterator[Case]:
    """Cases of a project as they teach by a rule, each with the reviews that name its label."""
    said = _said(database, project_id)
    for case in cases:
        words = said.get(case.id, {})
        label = case.diagnoses
        if rule != "newest" and len(set(words.values())) > 1:
            label = _majority(list(words.values())) if rule == "majority" else None
            if label is None:  # it does not teach
                continue
        named = None if label is None else tuple(sorted(label))
        yield replace(case, diagnoses=label, label_from=tuple(i for i, word in words.items() if word == named))


def _said(database: Database, project_id: str) -> dict[str, dict[str, Label]]:
    """Of each case the newest word of each reviewer that stands: id of the review -> its label, the oldest first."""
    query = (
        select(ReviewRow)
        .join(CaseRow, CaseRow.id == ReviewRow.case_id)
        .where(CaseRow.project_id == project_id)
        .where(ReviewRow.withdrawn_at.is_(None), ReviewRow.before_model.is_(False), ReviewRow.diagnoses.is_not(None))
        .order_by(ReviewRow.id)
    )
    newest: dict[tuple[str, str], tuple[str, Label]] = {}
    with database.reading() as session:
        for review in session.scalars(query):
            newest[review.case_id, review.reviewer] = (review.id, tuple(sorted(review.diagnoses or ())))
    found: dict[str, dict[str, Label]] = {}
    for (case_id, _), (review_id, label) in sorted(newest.items(), key=lambda item: item[1][0]):
        found.setdefault(case_id, {})[review_id] = label
    return found


def _majority(labels: list[Label]) -> Label | None:
    [(label, count)] = Counter(labels).most_common(1)
    return label if 2 * count > len(labels) else None
