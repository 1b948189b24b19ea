"""What the rule judges by besides drift: labels that no model has learned, and which trainings there were."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.cases.tables import CaseRow, ReviewState
from api.ground.clock import now
from api.ground.runs import ENDED
from api.models.tables import ModelRow, PromotionRow
from api.problems import NotReady
from api.training.schemas import TrainingRunIn
from api.training.tables import TrainingRunRow
from clinical_mm.manifest import Manifest

Learned = Mapping[str, set[tuple[str, ...]]]
"""Case -> the labels that models were taught, chosen or judged with."""


def learned(manifests: Iterable[Manifest]) -> Learned:
    """What some models know."""
    found: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for manifest in manifests:
        for case in manifest.cases:
            if case.diagnoses is not None:
                found[case.case].add(tuple(sorted(case.diagnoses)))
    return found


def new_labels(session: Session, project_id: str, known: Learned) -> int:
    """How many labels that reviewers gave are in none of the models: of new cases, or other ones than before."""
    query = select(CaseRow.id, CaseRow.diagnoses).where(
        CaseRow.project_id == project_id,
        CaseRow.review_state == ReviewState.REVIEWED,
        CaseRow.diagnoses.is_not(None),
    )
    return sum(tuple(sorted(label or ())) not in known.get(case, set()) for case, label in session.execute(query))


def days_since_training(session: Session, project_id: str) -> float | None:
    """Since the newest run was asked for, cancelled or not, or the newest model was made; None: never."""
    moments = [
        session.scalar(select(func.max(row.created_at)).where(row.project_id == project_id))
        for row in (TrainingRunRow, ModelRow)
    ]
    known: list[datetime] = [moment for moment in moments if moment is not None]
    return (now() - max(known)) / timedelta(days=1) if known else None


def run_under_way(session: Session, project_id: str) -> str | None:
    """The oldest run that waits or runs."""
    query = select(TrainingRunRow.id).where(TrainingRunRow.project_id == project_id, TrainingRunRow.state.not_in(ENDED))
    found: str | None = session.scalar(query.order_by(TrainingRunRow.id).limit(1))
    return found


def trained_as(session: Session, project_id: str) -> TrainingRunIn:
    """How the model that serves was trained, as one would ask for it again; raises ValidationError, NotReady."""
    query = (
        select(ModelRow.config, TrainingRunRow)
        .join(PromotionRow, PromotionRow.model_id == ModelRow.id)
        .outerjoin(TrainingRunRow, TrainingRunRow.id == ModelRow.run_id)
        .where(PromotionRow.project_id == project_id)
        .order_by(PromotionRow.id.desc())
        .limit(1)
    )
    found = session.execute(query).first()
    if found is None:
        raise NotReady("no model serves this project")
    config, run = found
    if run is None:  # trained in the foreground, of which its configuration's name alone is known
        return TrainingRunIn(config=config)
    told = {"config": run.config, "set": run.overrides, "filter": run.filter, "labels": run.labels}
    return TrainingRunIn.model_validate({**told, "start_from": run.start_from})
