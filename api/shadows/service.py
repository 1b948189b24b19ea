"""Let a challenger answer live cases in silence, end it, and tell how it does beside the serving model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.access.service import Caller, Role
from api.access.tables import ProjectRow
from api.audit.service import Audit
from api.ground.clock import now
from api.ground.ground import Ground
from api.ground.ids import new_id
from api.models.schemas import ModelOut
from api.models.service import Models
from api.models.tables import PromotionRow
from api.predictions.tables import PredictionRow
from api.problems import Conflict, NotFound
from api.shadows.live import answered, count_waiting, end_of, in_force, serving
from api.shadows.pairs import LivePairs
from api.shadows.schemas import ShadowOut
from api.shadows.tables import ShadowPredictionRow, ShadowRow
from clinical_mm.bundle_layout import MODEL, read_json, weights_sha256


class Shadows:
    """The shadow of each project, if it has one."""

    def __init__(self, ground: Ground, audit: Audit, models: Models) -> None:
        self._ground, self._audit, self._models = ground, audit, models
        self._pairs = LivePairs(models)

    def begin(self, caller: Caller, model_id: str) -> ShadowOut:
        """Let a model score live cases from now on, in place of any other shadow; again changes nothing.

        Raises:
            NotFound: no such model in the project.
            NotReady: no model serves yet.
            Conflict: it serves itself, it knows none of the serving model's diagnoses, it does not fit the catalogue in
                force, or its weights are not those that were registered.
            InvalidBundle: its bundle is gone.
        """
        caller.require(Role.ADMIN)
        model = self._models.get(caller, model_id)
        self._refuse_unfit(model, self._models.serving(caller.project_id))
        with self._ground.database.transaction() as session:
            session.get(ProjectRow, caller.project_id, with_for_update={"key_share": True})  # one shadow a project
            promotion = serving(session, caller.project_id)
            if promotion is None or promotion.model_id == model_id:
                raise Conflict("this model has come to serve meanwhile")
            others = in_force(session, caller.project_id)
            if model_id not in {one.model_id for one in others}:
                self._end(others)
                row = ShadowRow(
                    id=new_id("shadow"),
                    project_id=caller.project_id,
                    model_id=model_id,
                    promotion_id=promotion.id,
                    since=now(),
                    created_by=caller.signature,
                )
                session.add(row)
                before = [one.model_id for one in others]
                self._audit.record(session, caller, "model.shadow", "model", model_id, instead_of=before)
        return self.report(caller, model_id)

    def end(self, caller: Caller, model_id: str) -> None:
        """Let a model score no more; what it said stays. Raises NotFound where it is not the shadow."""
        caller.require(Role.ADMIN)
        self._models.get(caller, model_id)
        with self._ground.database.transaction() as session:
            session.get(ProjectRow, caller.project_id, with_for_update={"key_share": True})
            mine = [one for one in in_force(session, caller.project_id) if one.model_id == model_id]
            if not mine:
                raise NotFound(f"model {model_id} is no shadow now")
            self._end(mine)
            self._audit.record(session, caller, "model.shadow_end", "model", model_id)

    def current(self, caller: Caller) -> str | None:
        """The model that is the project's shadow now."""
        with self._ground.database.reading() as session:
            return next((one.model_id for one in in_force(session, caller.project_id)), None)

    def report(self, caller: Caller, model_id: str) -> ShadowOut:
        """How a shadow does beside the serving model since it last began, be it over or not.

        Raises:
            Forbidden: the caller may not train: whoever predicts and reviews is to know nothing of it.
            NotFound: no such model in the project, or it never was a shadow.
        """
        caller.require(Role.TRAINER)
        self._models.get(caller, model_id)
        query = select(ShadowRow).where(ShadowRow.project_id == caller.project_id, ShadowRow.model_id == model_id)
        with self._ground.database.reading() as session:
            shadow = session.scalars(query.order_by(ShadowRow.id.desc()).limit(1)).first()
            if shadow is None:
                raise NotFound(f"model {model_id} never was a shadow: PUT /v1/models/{model_id}/shadow")
            return self._told(session, shadow)

    def _told(self, session: Session, shadow: ShadowRow) -> ShadowOut:
        over, champion = end_of(session, shadow), _champion(session, shadow)
        counts = _counts(session, shadow, champion)
        failures = {kind: count for kind, count in counts.items() if kind is not None}
        scored, failed = counts.get(None, 0), sum(failures.values())
        waiting = 0 if over else count_waiting(session, shadow)
        live = select(func.count()).select_from(PredictionRow).where(answered(shadow, champion))
        total = session.scalar(live if over is None else live.where(PredictionRow.created_at <= over)) or 0
        return ShadowOut.model_validate(
            {
                "model": shadow.model_id,
                "champion": champion,
                "in_force": over is None,
                "since": shadow.since,
                "created_by": shadow.created_by,
                "ended_at": over,
                "scored": scored,
                "waiting": waiting,
                "failed": failed,
                "failures": failures,
                "missed": max(0, total - scored - failed - waiting),
                "fault": None if over else shadow.fault,
                **self._pairs.compared(session, shadow, champion),
            }
        )

    def _refuse_unfit(self, model: ModelOut, champion: ModelOut | None) -> None:
        if model.serving or champion is None:
            raise Conflict("this model serves: a shadow is another one beside it")
        if not set(model.diagnoses) & set(champion.diagnoses):
            raise Conflict(f"it knows none of the diagnoses of {champion.id}, which serves: nothing could be compared")
        folder = self._models.bundle_folder(model.id)
        foreign = _foreign(read_json(folder / MODEL).get("catalogue", {}), model.diagnoses, self._ground)
        if foreign:
            raise Conflict(f"it does not fit the catalogue in force: {', '.join(foreign)}")
        try:
            sound = weights_sha256(folder) == model.weights_sha256
        except OSError:
            sound = False
        if not sound:
            raise Conflict("its weights are not those that were registered: the bundle is damaged")

    @staticmethod
    def _end(rows: list[ShadowRow]) -> None:
        for row in rows:
            row.ended_at = now()


def _foreign(catalogue: Mapping[str, Any], diagnoses: list[str], ground: Ground) -> list[str]:
    """What a model takes for something else than the catalogue in force does: diagnoses it lacks, vitals' units."""
    known, units = {d.code for d in ground.catalogue.diagnoses}, {v.name: v.unit for v in ground.catalogue.vitals}
    vitals = {vital["name"]: vital["unit"] for vital in catalogue.get("vitals", ())}
    other = [f"{name} in {unit}" for name, unit in vitals.items() if units.get(name, unit) != unit]
    return [code for code in diagnoses if code not in known] + other


def _champion(session: Session, shadow: ShadowRow) -> str:
    """The model that it stands beside: the one that serves, or where it is over, the one it scored beside last."""
    promotion = serving(session, shadow.project_id)
    if end_of(session, shadow) is None and promotion is not None:
        return promotion.model_id
    last = (
        select(PredictionRow.model_id)
        .join(ShadowPredictionRow, ShadowPredictionRow.prediction_id == PredictionRow.id)
        .where(ShadowPredictionRow.model_id == shadow.model_id, PredictionRow.created_at >= shadow.since)
        .order_by(PredictionRow.id.desc())
        .limit(1)
    )
    found = session.scalar(last)
    return found or session.scalars(select(PromotionRow.model_id).where(PromotionRow.id == shadow.promotion_id)).one()


def _counts(session: Session, shadow: ShadowRow, champion: str) -> Counter[str | None]:
    """How many scores there are by kind of error; None: without one."""
    query = (
        select(ShadowPredictionRow.error, func.count())
        .join(PredictionRow, PredictionRow.id == ShadowPredictionRow.prediction_id)
        .where(ShadowPredictionRow.model_id == shadow.model_id, answered(shadow, champion))
        .group_by(ShadowPredictionRow.error)
    )
    return Counter(dict(session.execute(query).all()))
