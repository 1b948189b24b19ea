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
    """Cases of a project as they teach by a rule."""
    settled = {} if rule == "newest" else _contested(database, project_id, rule)
    for case in cases:
        if case.id not in settled:
            yield case
        elif (label := settled[case.id]) is not None:
            yield replace(case, diagnoses=label)


def _contested(database: Database, project_id: str, rule: str) -> dict[str, Label | None]:
    """The label of each contested case; None = it does not teach."""
    query = (
        select(ReviewRow)
        .join(CaseRow, CaseRow.id == ReviewRow.case_id)
        .where(CaseRow.project_id == project_id, CaseRow.contested.is_(True))
        .where(ReviewRow.withdrawn_at.is_(None), ReviewRow.before_model.is_(False), ReviewRow.diagnoses.is_not(None))
        .order_by(ReviewRow.id)
    )
    said: dict[str, dict[str, Label]] = {}
    with database.reading() as session:
        for review in session.scalars(query):
            said.setdefault(review.case_id, {})[review.reviewer] = tuple(review.diagnoses or ())
    return {case: _majority(list(words.values())) if rule == "majority" else None for case, words in said.items()}


def _majority(labels: list[Label]) -> Label | None:
    [(label, count)] = Counter(labels).most_common(1)
    return label if 2 * count > len(labels) else None
