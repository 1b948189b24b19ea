"""Which shadows are in force, and which answers of the serving model wait for their score."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, select
from sqlalchemy.orm import Session

from api.cases.tables import CaseRow
from api.models.tables import PromotionRow
from api.predictions.tables import PredictionRow
from api.shadows.tables import ShadowPredictionRow, ShadowRow

MOST = 2000
"""The newest so many answers of the serving model are scored, and compared; what is further back is missed."""


def in_force(session: Session, project_id: str | None = None) -> list[ShadowRow]:
    """The shadows that score now, of one project or of all; a model that has come to serve since is none any more."""
    query = select(ShadowRow).where(ShadowRow.ended_at.is_(None), ~exists().where(_came_to_serve()))
    if project_id is not None:
        query = query.where(ShadowRow.project_id == project_id)
    return list(session.scalars(query.order_by(ShadowRow.id)))


def end_of(session: Session, shadow: ShadowRow) -> datetime | None:
    """When a shadow ended: taken away, or promoted by whatever way."""
    promoted = select(func.min(PromotionRow.at)).where(
        PromotionRow.project_id == shadow.project_id,
        PromotionRow.model_id == shadow.model_id,
        PromotionRow.id > shadow.promotion_id,
    )
    ends = [end for end in (shadow.ended_at, session.scalar(promoted)) if end is not None]
    return min(ends, default=None)


def serving(session: Session, project_id: str) -> PromotionRow | None:
    """What made the model serve that serves now."""
    query = select(PromotionRow).where(PromotionRow.project_id == project_id).order_by(PromotionRow.id.desc())
    return session.scalars(query.limit(1)).first()


def waiting(session: Session, shadow: ShadowRow) -> Select[str, CaseRow] | None:
    """Predictions without a score, with their cases, the newest first; only of cases that are still as they were."""
    promotion = serving(session, shadow.project_id)
    if promotion is None:
        return None
    newest = (
        select(PredictionRow.id, PredictionRow.case_id, PredictionRow.case_version)
        .where(answered(shadow, promotion.model_id))
        .order_by(PredictionRow.id.desc())
        .limit(MOST)
        .subquery()
    )
    scored = exists().where(
        ShadowPredictionRow.prediction_id == newest.c.id, ShadowPredictionRow.model_id == shadow.model_id
    )
    return (
        select(newest.c.id, CaseRow)
        .join(CaseRow, and_(CaseRow.id == newest.c.case_id, CaseRow.version == newest.c.case_version))
        .where(~scored)
        .order_by(newest.c.id.desc())
    )


def count_waiting(session: Session, shadow: ShadowRow) -> int:
    """How many predictions wait for their score."""
    query = waiting(session, shadow)
    if query is None:
        return 0
    counted: Any = query.with_only_columns(func.count()).order_by(None)
    return int(session.scalar(counted) or 0)


def answered(shadow: ShadowRow, champion: str) -> ColumnElement[bool]:
    """Live answers of a serving model beside a shadow: those since it began. A model belongs to one project."""
    return and_(PredictionRow.model_id == champion, PredictionRow.created_at >= shadow.since)


def _came_to_serve() -> ColumnElement[bool]:
    return and_(
        PromotionRow.project_id == ShadowRow.project_id,
        PromotionRow.model_id == ShadowRow.model_id,
        PromotionRow.id > ShadowRow.promotion_id,
    )
