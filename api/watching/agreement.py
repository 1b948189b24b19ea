"""How often reviewers confirm what a model says; of reviews that stand and name an answer of this model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import date, datetime, timedelta

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from api.predictions.tables import PredictionRow
from api.reviews.tables import ReviewRow
from api.watching.schemas import WeekOut
from clinical_mm.watching.rule import Agreement

WEEKS = 26
"""Shown at most."""


def by_week(session: Session, project_id: str, model_id: str) -> list[WeekOut]:
    """A week a line, the newest last."""
    counted: Mapping[date, list[int]] = defaultdict(lambda: [0, 0])
    for said, verdict in session.execute(_reviews(project_id, model_id)):
        monday = said.date() - timedelta(days=said.weekday())
        counted[monday][0] += 1
        counted[monday][1] += verdict == "confirm"
    weeks = []
    for monday, (reviews, confirmed) in sorted(counted.items())[-WEEKS:]:
        told = Agreement.of(confirmed, reviews)
        weeks.append(
            WeekOut(week=monday.isoformat(), reviews=reviews, confirmed=confirmed, low=told.low, high=told.high)
        )
    return weeks


def lately(session: Session, project_id: str, model_id: str, since: datetime) -> Agreement:
    """Over all reviews since a moment."""
    query = _reviews(project_id, model_id).where(ReviewRow.created_at >= since)
    verdicts = [verdict for _, verdict in session.execute(query)]
    return Agreement.of(verdicts.count("confirm"), len(verdicts))


def _reviews(project_id: str, model_id: str) -> Select[datetime, str]:
    return (
        select(ReviewRow.created_at, ReviewRow.verdict)
        .join(PredictionRow, PredictionRow.id == ReviewRow.prediction_id)
        .where(ReviewRow.project_id == project_id, PredictionRow.model_id == model_id)
        .where(ReviewRow.withdrawn_at.is_(None), ReviewRow.before_model.is_(False))
        .where(ReviewRow.verdict.in_(("confirm", "override")))
    )
