"""Which label teaches where reviewers disagree.

A case is contested where two reviewers, by the newest word of each that stands, name different diagnoses. ``newest``:
the label in force, which the newest of them set. ``majority``: what more than half of them name, word for word; without
one the case does not teach. ``leave-out``: no contested case teaches. A golden case's label is the locked one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from sqlalchemy import select

from api.cases.tables import CaseRow
from api.ground.database import Database
from api.reviews.tables import ReviewRow
from clinical_mm.case import Case
from clinical_mm.training.label_rules import Word

Rule = Literal["newest", "majority", "leave-out"]
Diagnoses = tuple[str, ...]


@dataclass(frozen=True)
class Said:
    """A reviewer's newest word that stands, and what it names."""

    word: Word
    diagnoses: Diagnoses


@dataclass(frozen=True)
class Sent:
    """A label that no review gave; ``by_hand``: it came later than its case, in the place of whatever was there."""

    word: Word
    diagnoses: Diagnoses
    by_hand: bool


def adjudicated(database: Database, project_id: str, cases: Iterable[Case], rule: str) -> Iterator[Case]:
    """Cases of a project as they teach by a rule, each with the reviews, or the key, that name its label."""
    said, given = words(database, project_id), sendings(database, project_id)
    for case in cases:
        theirs, sent = said.get(case.id, []), given.get(case.id)
        if case.golden or case.diagnoses is None:
            yield case
            continue
        label = chosen(case.diagnoses, theirs, rule)
        if label is not None:
            yield signed(replace(case, diagnoses=label), naming(label, theirs, sent), sent)


def chosen(in_force: Sequence[str], said: Sequence[Said], rule: str) -> Diagnoses | None:
    """The label that teaches; None where none does."""
    labels = [one.diagnoses for one in said]
    if rule == "newest" or len(set(labels)) < 2:
        return tuple(in_force)
    return _majority(labels) if rule == "majority" else None


def naming(label: Sequence[str], said: Sequence[Said], sent: Sent | None) -> tuple[Word, ...]:
    """The words that name a label, the oldest first; who changed it by hand has said so too."""
    named = tuple(sorted(label))
    by_hand = [sent.word] if sent is not None and sent.by_hand and sent.diagnoses == named else []
    return tuple(sorted([*by_hand, *(one.word for one in said if one.diagnoses == named)], key=lambda word: word.at))


def signed(case: Case, named_by: Sequence[Word], sent: Sent | None) -> Case:
    """A case that tells whose word its label is."""
    keys = tuple(dict.fromkeys(word.reviewer for word in named_by)) or ((sent.word.reviewer,) if sent else ())
    return replace(case, label_from=tuple(word.review for word in named_by if word.review), label_by=keys)


def words(database: Database, project_id: str) -> dict[str, list[Said]]:
    """Of each case the newest word of each reviewer that stands and names diagnoses, the oldest first."""
    query = (
        select(ReviewRow.id, ReviewRow.case_id, ReviewRow.reviewer, ReviewRow.diagnoses, ReviewRow.created_at)
        .join(CaseRow, CaseRow.id == ReviewRow.case_id)
        .where(CaseRow.project_id == project_id)
        .where(ReviewRow.withdrawn_at.is_(None), ReviewRow.before_model.is_(False), ReviewRow.diagnoses.is_not(None))
        .order_by(ReviewRow.id)
    )
    newest: dict[tuple[str, str], Said] = {}
    with database.reading() as session:
        for review, case_id, reviewer, diagnoses, at in session.execute(query):
            newest[case_id, reviewer] = Said(_word(review, reviewer, at), tuple(sorted(diagnoses or ())))
    found: dict[str, list[Said]] = {}
    for (case_id, _), said in sorted(newest.items(), key=lambda item: item[1].word.review):
        found.setdefault(case_id, []).append(said)
    return found


def sendings(database: Database, project_id: str) -> dict[str, Sent]:
    """Who gave each case the label that was sent, with it or in a change of it."""
    columns = (CaseRow.id, CaseRow.given_by, CaseRow.given_at, CaseRow.created_at, CaseRow.given_diagnoses)
    query = select(*columns).where(CaseRow.project_id == project_id, CaseRow.given_diagnoses.is_not(None))
    with database.reading() as session:
        return {
            case_id: Sent(Word("", key_of(by), at), tuple(sorted(diagnoses or ())), at > created_at)
            for case_id, by, at, created_at, diagnoses in session.execute(query)
            if by and at
        }


def key_of(signature: str) -> str:
    """``key_1`` of ``Dr. A (key_1)``; the whole where a very long name has cut the key's id off."""
    return signature.rpartition(" (")[2].removesuffix(")") if signature.endswith(")") else signature


def _word(review: str, reviewer: str, at: datetime) -> Word:
    return Word(review, key_of(reviewer), at)


def _majority(labels: list[Diagnoses]) -> Diagnoses | None:
    [(label, count)] = Counter(labels).most_common(1)
    return label if 2 * count > len(labels) else None
