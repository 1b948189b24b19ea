"""What the serving model and a shadow said of the same cases, and which of them a reviewer's label may judge."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, select
from sqlalchemy.orm import Session

from api.cases.tables import CaseRow
from api.models.service import Models
from api.predictions.tables import PredictionRow
from api.reviews.tables import ReviewRow
from api.shadows.live import MOST, answered
from api.shadows.tables import ShadowPredictionRow, ShadowRow
from clinical_mm.bundle_layout import SPLIT, read_json
from clinical_mm.errors import InvalidBundle
from clinical_mm.promotion.beside import Pair, beside

PAGE = 500
UNREADABLE = "which cases the two have learned from is not known: a bundle is damaged, so no label judges"


class LivePairs:
    """Comparisons on live cases."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def compared(self, session: Session, shadow: ShadowRow, champion: str) -> dict[str, Any]:
        """The comparison as plain data, over the newest answer to each case."""
        pairs, notes, learned = _pairs(session, shadow, champion), [], 0
        try:
            taught = self._taught(champion) | self._taught(shadow.model_id)
            known = _patients(session, shadow.project_id, pairs, taught)
            learned = sum(pair.label is not None and pair.patient in known for pair in pairs)
            pairs = [replace(pair, label=None) if pair.patient in known else pair for pair in pairs]
        except InvalidBundle:
            notes.append(UNREADABLE)
            pairs = [replace(pair, label=None) for pair in pairs]
        return {**beside(pairs).to_json(), "learned": learned, "notes": notes}

    def _taught(self, model_id: str) -> set[str]:
        """Names of the cases that a model has learned from or chosen by."""
        parts = read_json(self._models.bundle_folder(model_id) / SPLIT)
        return {*parts["train"], *parts["validation"]}


def _pairs(session: Session, shadow: ShadowRow, champion: str) -> list[Pair]:
    case = (CaseRow.id, CaseRow.patient_id, CaseRow.diagnoses, exists().where(_said_by_reviewer()))
    query = (
        select(PredictionRow.result, ShadowPredictionRow.result, *case)
        .join(ShadowPredictionRow, ShadowPredictionRow.prediction_id == PredictionRow.id)
        .join(CaseRow, CaseRow.id == PredictionRow.case_id)
        .where(ShadowPredictionRow.model_id == shadow.model_id, ShadowPredictionRow.error.is_(None))
        .where(answered(shadow, champion))
        .order_by(PredictionRow.id.desc())
        .limit(MOST)
    )
    newest: dict[str, Pair] = {}
    for said, whispered, case_id, patient, label, reviewed in session.execute(query):
        two = (_probabilities(said), _probabilities(whispered))
        newest.setdefault(case_id, Pair(case_id, patient, *two, label if reviewed else None))
    return list(newest.values())


def _said_by_reviewer() -> ColumnElement[bool]:
    """The label in force is the word of a review that stands."""
    return and_(
        ReviewRow.case_id == CaseRow.id,
        ReviewRow.withdrawn_at.is_(None),
        ReviewRow.before_model.is_(False),
        ReviewRow.diagnoses.is_not(None),
        ReviewRow.reviewer == CaseRow.labelled_by,
        ReviewRow.created_at == CaseRow.labelled_at,
    )


def _patients(session: Session, project_id: str, pairs: Sequence[Pair], taught: Collection[str]) -> set[str]:
    """Those of the labelled cases' patients of whom any case has taught."""
    labelled = sorted({pair.patient for pair in pairs if pair.label is not None})
    found: set[str] = set()
    for start in range(0, len(labelled), PAGE):
        query = select(CaseRow.id, CaseRow.patient_id).where(
            CaseRow.project_id == project_id, CaseRow.patient_id.in_(labelled[start : start + PAGE])
        )
        found |= {patient for case, patient in session.execute(query) if case in taught}
    return found


def _probabilities(result: Mapping[str, Any]) -> dict[str, float]:
    return {str(told["code"]): float(told["probability"]) for told in result["diagnoses"]}
