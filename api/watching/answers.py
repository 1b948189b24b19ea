"""What a model has answered: its probabilities before a window and in it, and how strange the window's cases were."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.predictions.tables import PredictionRow
from api.watching.features import Features

MOST = 20_000
"""The newest so many answers at most."""


@dataclass(frozen=True)
class Answers:
    """Of each case its newest answer.

    Attributes:
        before, now: probabilities, by diagnosis.
        strange: of the answers in the window, strangeness by modality (``strangeness_of``).
    """

    before: Features = field(default_factory=lambda: defaultdict(list))
    now: Features = field(default_factory=lambda: defaultdict(list))
    strange: Features = field(default_factory=lambda: defaultdict(list))


def strangeness_of(modality: str) -> str:
    """The name of the feature."""
    return f"strangeness of {modality}"


def answers(session: Session, project_id: str, model_id: str, since: datetime, used: Collection[str]) -> Answers:
    """A model's answers; cases ``used`` to make it count for no strangeness, it knows them too well."""
    query = select(PredictionRow).where(PredictionRow.project_id == project_id, PredictionRow.model_id == model_id)
    found, seen = Answers(), set[str]()
    for row in session.scalars(query.order_by(PredictionRow.id.desc()).limit(MOST)):
        if row.case_id in seen:
            continue
        seen.add(row.case_id)
        recent = row.created_at >= since
        _add(found.now if recent else found.before, row.result)
        if recent and row.case_id not in used:
            _add_strangeness(found.strange, row.result)
    return found


def _add(side: Features, result: Mapping[str, Any]) -> None:
    for told in result["diagnoses"]:
        side[told["code"]].append(float(told["probability"]))


def _add_strangeness(strange: Features, result: Mapping[str, Any]) -> None:
    for told in result["modalities"]:
        if told.get("strangeness") is not None:  # an older answer, or a model that cannot tell
            strange[strangeness_of(told["name"])].append(float(told["strangeness"]))
