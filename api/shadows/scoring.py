"""Score what waits: a shadow answers the stored cases of live predictions, and what it says is kept beside them.

Each score is a row under its prediction and model, so a score is there once however often the work is begun anew.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from api.cases.service import Cases
from api.cases.tables import CaseRow
from api.ground.clock import now
from api.ground.ground import Ground
from api.models.service import Models
from api.predictions.tables import PredictionRow
from api.shadows.live import in_force, waiting
from api.shadows.tables import ShadowPredictionRow, ShadowRow
from clinical_mm.case import Case
from clinical_mm.errors import ClinicalMMError

if TYPE_CHECKING:
    from clinical_mm.predictor import Predictor

log = logging.getLogger(__name__)
AT_ONCE = 8
CLAIM = timedelta(minutes=3)
"""So long a worker that says nothing keeps its shadow: a model must be loaded and one batch scored in this time."""


@dataclass(frozen=True)
class Score:
    """What a shadow said of a prediction's case, or the kind of error that it met."""

    prediction: str
    result: dict[str, Any] | None
    error: str | None = None


class Scoring:
    """The work of the shadows, of all projects."""

    def __init__(self, ground: Ground, cases: Cases, models: Models, worker_id: str | None = None) -> None:
        """``worker_id``: of the worker that keeps the shadow; None: as the settings name it."""
        self._ground, self._cases, self._models = ground, cases, models
        self.worker_id = (worker_id or ground.settings.worker_id)[:120]

    def due(self) -> list[str]:
        """The ids of shadows for which predictions wait and that no other worker keeps, the oldest shadow first."""
        with self._ground.database.reading() as session:
            free = [shadow for shadow in in_force(session) if self._may_have(shadow)]
            queries = [(shadow.id, waiting(session, shadow)) for shadow in free]
            return [id_ for id_, query in queries if query is not None and session.execute(query.limit(1)).first()]

    def claim(self, shadow_id: str) -> bool:
        """Whether this worker may score: no other has lately. The same worker may again after a crash."""
        with self._ground.database.transaction() as session:
            row = session.get(ShadowRow, shadow_id, with_for_update=True)
            if row is None or not self._may_have(row):
                return False
            row.worker, row.claimed_until = self.worker_id, now() + CLAIM
            return True

    def note(self, shadow_id: str, fault: str) -> None:
        """Keep why a shadow cannot score at present."""
        with self._ground.database.transaction() as session:
            row = session.get(ShadowRow, shadow_id, with_for_update=True)
            if row is not None:
                row.fault = fault

    def batch(self, shadow_id: str) -> int | None:
        """Score the newest few that wait; gives how many were looked at, None where the shadow is over or another's.

        Raises:
            NotReady: the model's bundle is damaged or gone.
            OSError, MemoryError, obstore's errors: nothing of a single case; nothing is stored, and it may pass.
        """
        with self._ground.database.reading() as session:
            shadow = next((one for one in in_force(session) if one.id == shadow_id), None)
            query = None if shadow is None else waiting(session, shadow)
            found = [] if query is None else list(session.execute(query.limit(AT_ONCE)))
        if shadow is None or not found:
            return None if shadow is None else 0
        if not self.claim(shadow.id):
            return None
        predictor = self._models.predictor(shadow.model_id)
        self._keep(shadow, [*self._asked(predictor, found)])
        return len(found)

    def _may_have(self, shadow: ShadowRow) -> bool:
        return shadow.worker in {None, self.worker_id} or shadow.claimed_until is None or shadow.claimed_until <= now()

    def _asked(self, predictor: Predictor, found: Sequence[tuple[str, CaseRow]]) -> list[Score]:
        readable, scores = [], []
        for prediction, row in found:
            try:
                readable.append((prediction, self._cases.core(row)))
            except ClinicalMMError as error:  # a blob is gone
                scores.append(_failed(prediction, error))
        return scores + _scores(predictor, readable)

    def _keep(self, shadow: ShadowRow, scores: Sequence[Score]) -> None:
        """Store scores of predictions that are still there, and take the fault away, if the shadow is still wanted."""
        named = [score.prediction for score in scores]
        with self._ground.database.transaction() as session:
            row = session.get(ShadowRow, shadow.id, with_for_update=True)  # two workers store in turn
            if row is None or row.ended_at is not None:
                return
            there = select(PredictionRow.id).where(PredictionRow.id.in_(named))
            stored = set(session.scalars(there.with_for_update(read=True, key_share=True)))  # none is erased meanwhile
            known = select(ShadowPredictionRow.prediction_id).where(
                ShadowPredictionRow.prediction_id.in_(named), ShadowPredictionRow.model_id == shadow.model_id
            )
            fresh = stored - set(session.scalars(known))
            session.add_all(
                ShadowPredictionRow(
                    prediction_id=score.prediction,
                    model_id=shadow.model_id,
                    project_id=shadow.project_id,
                    created_at=now(),
                    result=score.result,
                    error=score.error,
                )
                for score in scores
                if score.prediction in fresh
            )
            row.fault = None


def _scores(predictor: Predictor, cases: Sequence[tuple[str, Case]]) -> list[Score]:
    if not cases:
        return []
    try:
        answers = predictor.predict([case for _, case in cases])
    except (ClinicalMMError, FileNotFoundError) as error:  # of one case
        return _one_by_one(predictor, cases, error)
    except (OSError, MemoryError):  # of the machine: these cases can be scored later
        raise
    except Exception as error:  # noqa: BLE001 - whatever a model's code raises is counted; nobody waits for the answer
        return _one_by_one(predictor, cases, error)
    return [Score(name, answer.to_json()) for (name, _), answer in zip(cases, answers, strict=True)]


def _one_by_one(predictor: Predictor, cases: Sequence[tuple[str, Case]], error: Exception) -> list[Score]:
    """One case spoils the batch: find whose it is."""
    if len(cases) == 1:
        return [_failed(cases[0][0], error)]
    return [score for single in cases for score in _scores(predictor, [single])]


def _failed(prediction: str, error: Exception) -> Score:
    """The kind of error alone is stored: a message may quote a patient's file."""
    log.warning("the shadow of %s failed: %s", prediction, error, exc_info=not isinstance(error, ClinicalMMError))
    return Score(prediction, None, type(error).__name__)
