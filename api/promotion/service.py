"""Compare a new model with the one that serves, keep what the policy said, promote where it or a person says so."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.access.service import Caller, Role
from api.audit.service import Audit
from api.cases.service import Cases
from api.ground.clock import now
from api.ground.ground import Ground
from api.ground.ids import new_id
from api.models.schemas import ModelOut
from api.models.service import Models
from api.problems import Conflict, NotFound
from api.promotion.comparing import compared
from api.promotion.schemas import DecisionOut
from api.promotion.tables import DecisionRow


class Promotions:
    """The comparisons of each project, and what followed."""

    def __init__(self, ground: Ground, audit: Audit, cases: Cases, models: Models) -> None:
        self._ground, self._audit, self._cases, self._models = ground, audit, cases, models

    def judge(
        self,
        caller: Caller,
        model_id: str,
        cases: Path,
        run_id: str | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> DecisionOut | None:
        """Compare a model with the one that serves, on a plain folder of cases, and do what the policy says.

        None where nothing serves beside it. A second call for the same run gives the decision of the first.

        Raises:
            Cancelled: ``cancelled`` said so; nothing is decided.
        """
        earlier = self._of_run(run_id)
        if earlier is not None:
            return earlier
        champion = self._models.serving(caller.project_id)
        if champion is None or champion.id == model_id:
            return None
        folders = (self._models.bundle_folder(champion.id), self._models.bundle_folder(model_id))
        result = compared(self._ground.settings, *folders, cases, cancelled)
        row = DecisionRow(
            id=new_id("decision"),
            project_id=caller.project_id,
            model_id=model_id,
            champion_id=champion.id,
            run_id=run_id,
            outcome=result["outcome"],
            result=result,
            created_at=now(),
            created_by=caller.signature,
        )
        with self._ground.database.transaction() as session:
            session.add(row)
            told = {"champion": champion.id, "outcome": row.outcome}
            self._audit.record(session, caller, "model.compare", "model", model_id, **told)
            if row.outcome == "promote":  # only in place of the model that it was compared with
                self._models.replace(session, caller, model_id, champion.id, "policy", result["reasons"][0])
        return decision_out(row)

    def compare(self, caller: Caller, model_id: str) -> DecisionOut:
        """Compare on the stored cases as they are labelled now, here and now.

        Raises:
            NotFound: no such model in the project.
            Conflict: it serves itself, so there is nothing to compare it with.
        """
        from clinical_mm.importing.folder import write_folder
        from clinical_mm.promotion.contest import learned, untouched

        caller.require(Role.TRAINER)
        self._models.get(caller, model_id)
        champion = self._models.serving_id(caller.project_id)
        if champion == model_id:
            raise Conflict("this model serves: name another one, which is then compared with it")
        bundles = (self._models.bundle_folder(champion), self._models.bundle_folder(model_id))
        test, taught = untouched(*bundles), learned(*bundles)
        patients = self._cases.patients(caller, taught)
        labelled = self._cases.select(caller.project_id, {"labelled": True})
        folder = self._ground.settings.runs_folder / new_id("comparison")
        try:
            judges = (c for c in labelled if (c.patient.id not in patients if c.golden else c.id in test))
            write_folder(judges, folder)
            decision = self.judge(caller, model_id, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if decision is None:
            raise Conflict("this model came to serve meanwhile")
        return decision

    def of_model(self, caller: Caller, model_id: str) -> DecisionOut | None:
        """The newest decision on a model, None where there is none; raises NotFound."""
        self._models.get(caller, model_id)
        with self._ground.database.reading() as session:
            row = _newest(session, model_id)
            return None if row is None else decision_out(row)

    def told(self, caller: Caller, model_id: str) -> DecisionOut:
        """The same; raises NotFound where there is none, too."""
        decision = self.of_model(caller, model_id)
        if decision is None:
            raise NotFound(f"model {model_id} has not been compared: POST /v1/models/{model_id}/comparison")
        return decision

    def outcomes(self, caller: Caller) -> dict[str, str]:
        """The newest outcome of each model that was compared."""
        query = select(DecisionRow).where(DecisionRow.project_id == caller.project_id).order_by(DecisionRow.id)
        with self._ground.database.reading() as session:
            return {row.model_id: row.outcome for row in session.scalars(query)}

    def promote(self, caller: Caller, model_id: str, reason: str | None = None) -> ModelOut:
        """Let a model serve from now on.

        Raises:
            NotFound: no such model in the project.
            Conflict: its comparison rejected it, and no reason is given.
        """
        caller.require(Role.ADMIN)
        reason = (reason or "").strip() or None
        with self._ground.database.reading() as session:
            newest = _newest(session, model_id)
        if newest is not None and newest.project_id == caller.project_id and newest.outcome == "reject" and not reason:
            said = "; ".join(newest.result["reasons"])
            raise Conflict(f"its comparison rejected this model: {said}. To promote it all the same, give a reason")
        return self._models.promote(caller, model_id, reason)

    def _of_run(self, run_id: str | None) -> DecisionOut | None:
        if run_id is None:
            return None
        with self._ground.database.reading() as session:
            row = session.scalar(select(DecisionRow).where(DecisionRow.run_id == run_id))
            return None if row is None else decision_out(row)


def _newest(session: Session, model_id: str) -> DecisionRow | None:
    query = select(DecisionRow).where(DecisionRow.model_id == model_id).order_by(DecisionRow.id.desc()).limit(1)
    return session.scalars(query).first()


def decision_out(row: DecisionRow) -> DecisionOut:
    """A row as it goes over the wire."""
    return DecisionOut.model_validate(
        {
            "id": row.id,
            "model": row.model_id,
            "champion": row.champion_id,
            "run_id": row.run_id,
            "outcome": row.outcome,
            "reasons": row.result["reasons"],
            "created_at": row.created_at,
            "created_by": row.created_by,
            "result": row.result,
        }
    )
