"""Ask a model about a stored case, and keep what it said."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.access.service import Caller, Role
from api.audit.service import Audit
from api.cases.service import Cases
from api.ground.clock import now
from api.ground.ground import Ground
from api.ground.ids import new_id
from api.ground.rounding import rounded, rounded_to_sum
from api.idempotency.service import IdempotencyKeys, SentKey
from api.models.service import Models
from api.predictions.doubt import weigh
from api.predictions.queue import BatchingQueue
from api.predictions.schemas import PredictionOut, SimilarCaseOut, SimilarCases
from api.predictions.tables import PredictionRow
from api.problems import NotFound

AT_ONCE = 50
"""So many likes are looked up at a time: some may have been erased since the model was trained, be it most of them."""


class Predictions:
    """Predictions of each project."""

    def __init__(self, ground: Ground, audit: Audit, cases: Cases, models: Models) -> None:
        self._ground, self._audit, self._cases, self._models = ground, audit, cases, models
        self._keys = IdempotencyKeys(ground)
        self._queues: dict[str, BatchingQueue] = {}
        self._lock = threading.Lock()

    def create(
        self, caller: Caller, case_id: str, model_id: str | None = None, key: SentKey | None = None
    ) -> PredictionOut:
        """Predict with the serving model, or a named one.

        Raises:
            NotFound: no such case or model in the project.
            NotReady: no model serves yet.
            TooBusy: the queue is full.
            Invalid: the Idempotency-Key came with another request before.
        """
        caller.require(Role.CLINICIAN)
        return self._keys.once(
            caller, key, lambda: self._create(caller, case_id, model_id, key), lambda id_: self.get(caller, id_)
        )

    def _create(self, caller: Caller, case_id: str, model_id: str | None, key: SentKey | None) -> PredictionOut:
        with self._ground.database.reading() as session:
            row = self._cases.row(session, caller.project_id, case_id)
            case, version = self._cases.core(row), row.version
        if model_id is None:
            model_id = self._models.serving_id(caller.project_id)
        else:
            self._models.get(caller, model_id)
        answer = self._queue(model_id).predict(case)
        stored = PredictionRow(
            id=new_id("prediction"),
            project_id=caller.project_id,
            case_id=case_id,
            case_version=version,
            model_id=model_id,
            created_at=now(),
            created_by=caller.signature,
            result=answer.to_json(),
        )
        with self._ground.database.transaction() as session:
            try:
                row = self._cases.row(session, caller.project_id, case_id, lock=True)
            except NotFound:  # erased meanwhile, and what the encoders have just made of it
                self._ground.forget([case])
                raise
            session.add(stored)
            session.flush()
            self._keys.keep(session, caller, key, stored.id, case_id=case_id)
            weigh(session, row)
            self._audit.record(
                session, caller, "prediction.create", "prediction", stored.id, case=case_id, model=model_id
            )
        return self.out(stored)

    def get(self, caller: Caller, prediction_id: str) -> PredictionOut:
        """One prediction; raises NotFound."""
        with self._ground.database.reading() as session:
            return self.out(self.row(session, caller.project_id, prediction_id))

    def of_case(self, caller: Caller, case_id: str) -> list[PredictionOut]:
        """A case's predictions, newest first; raises NotFound."""
        query = select(PredictionRow).where(PredictionRow.case_id == case_id).order_by(PredictionRow.id.desc())
        with self._ground.database.reading() as session:
            self._cases.row(session, caller.project_id, case_id)
            return [self.out(row) for row in session.scalars(query)]

    def newest(self, caller: Caller, case_ids: list[str]) -> dict[str, PredictionOut]:
        """The newest prediction of each of these cases that has one."""
        query = (
            select(PredictionRow)
            .where(PredictionRow.project_id == caller.project_id, PredictionRow.case_id.in_(case_ids))
            .order_by(PredictionRow.id)
        )
        with self._ground.database.reading() as session:
            return {row.case_id: self.out(row) for row in session.scalars(query)}

    def similar(self, caller: Caller, case_id: str, limit: int) -> SimilarCases:
        """Past cases that the serving model finds most like this one.

        Raises:
            NotFound: no such case in the project.
            NotReady: no model serves yet.
        """
        with self._ground.database.reading() as session:
            case = self._cases.core(self._cases.row(session, caller.project_id, case_id))
        model_id = self._models.serving_id(caller.project_id)
        near = [like for like in self._models.predictor(model_id).similar(case, limit=None) if like[0] != case_id]
        found: list[SimilarCaseOut] = []
        digits = self._ground.settings.score_digits
        for start in range(0, len(near), AT_ONCE):
            some = near[start : start + AT_ONCE]
            labels = self._cases.labels(caller, [name for name, _ in some])
            found += [
                SimilarCaseOut(case_id=name, similarity=round(similarity, digits), diagnoses=_listed(labels[name]))
                for name, similarity in some
                if name in labels
            ]
            if len(found) >= limit:
                break
        return SimilarCases(model=model_id, items=found[:limit])

    def row(self, session: Session, project_id: str, prediction_id: str) -> PredictionRow:
        """The row of a prediction of the project; raises NotFound."""
        found = session.get(PredictionRow, prediction_id)
        if found is None or found.project_id != project_id:
            raise NotFound("no such prediction in this project")
        return found

    def out(self, row: PredictionRow) -> PredictionOut:
        """A prediction as it is shown."""
        return prediction_out(row, self._ground.settings.score_digits)

    def close(self) -> None:
        """End the models' threads."""
        with self._lock:
            queues, self._queues = list(self._queues.values()), {}
        for queue in queues:
            queue.close()

    def _queue(self, model_id: str) -> BatchingQueue:
        predictor = self._models.predictor(model_id)
        settings = self._ground.settings
        with self._lock:
            gone = [self._queues.pop(known) for known in list(self._queues) if not self._models.is_loaded(known)]
            if model_id not in self._queues:
                made = BatchingQueue(predictor, settings.max_batch, settings.max_queue, self._ground.meters)
                self._queues[model_id] = made
            found = self._queues[model_id]
        for queue in gone:  # or each would keep its model, and a thread, for ever
            queue.close()
        return found


def _listed(codes: Sequence[str] | None) -> list[str] | None:
    return None if codes is None else list(codes)


def prediction_out(row: PredictionRow, digits: int) -> PredictionOut:
    """A prediction as the API shows it, its scores to so many digits."""
    return PredictionOut.model_validate(
        {
            "id": row.id,
            "case_id": row.case_id,
            "case_version": row.case_version,
            "model": row.model_id,
            "created_at": row.created_at,
            "created_by": row.created_by,
            **_rounded(row.result, digits),
        }
    )


def _rounded(result: Mapping[str, Any], digits: int) -> dict[str, Any]:
    """Probabilities and what else could tell them apart; shares of modalities that sum to 1 still do."""
    weights = [one["weight"] for one in result["modalities"]]
    shares = zip(result["modalities"], rounded_to_sum(weights, sum(weights), digits), strict=True)
    teaches = result.get("information")
    return {
        **result,
        "diagnoses": [{**one, "probability": round(one["probability"], digits)} for one in result["diagnoses"]],
        "modalities": [
            {**one, "weight": weight, "strangeness": rounded(one.get("strangeness"), digits)} for one, weight in shares
        ],
        "information": teaches and {name: round(value, digits) for name, value in teaches.items()},
    }
