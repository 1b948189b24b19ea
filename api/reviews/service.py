"""A reviewer's word: it is kept for good, and a confirmation or an override sets the case's label."""

from __future__ import annotations

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
from api.predictions.service import Predictions
from api.problems import Invalid, PointedError
from api.reviews.schemas import ReviewIn, ReviewOut
from api.reviews.tables import ReviewRow
from clinical_mm.errors import UnknownCode

PROBABLE = 0.5


class Reviews:
    """Reviews of each project."""

    def __init__(self, ground: Ground, audit: Audit, cases: Cases, predictions: Predictions) -> None:
        self._ground, self._audit, self._cases, self._predictions = ground, audit, cases, predictions

    def create(self, caller: Caller, case_id: str, said: ReviewIn) -> ReviewOut:
        """Store a review; the label follows in the same transaction.

        Raises:
            NotFound: no such case, or the prediction is not of this case.
            Invalid: the verdict and the diagnoses do not go together.
        """
        caller.require(Role.CLINICIAN)
        with self._ground.database.transaction() as session:
            case = self._cases.row(session, caller.project_id, case_id, lock=True)
            diagnoses = self._label(session, caller, case_id, said)
            row = ReviewRow(
                id=new_id("review"),
                project_id=caller.project_id,
                case_id=case_id,
                prediction_id=said.prediction,
                verdict=said.verdict,
                diagnoses=diagnoses,
                comment=said.comment or None,
                reviewer=caller.signature,
                created_at=now(),
            )
            session.add(row)
            if diagnoses is not None:
                # The label is not an input of the model, so the version that predictions saw stays in force.
                self._cases.label(case, caller, diagnoses)
            self._audit.record(session, caller, "review.create", "review", row.id, case=case_id, verdict=said.verdict)
        return ReviewOut.model_validate(row)

    def history(self, caller: Caller, case_id: str) -> list[ReviewOut]:
        """A case's reviews, newest first; raises NotFound."""
        query = select(ReviewRow).where(ReviewRow.case_id == case_id).order_by(ReviewRow.id.desc())
        with self._ground.database.reading() as session:
            self._cases.row(session, caller.project_id, case_id)
            return [ReviewOut.model_validate(row) for row in session.scalars(query)]

    def newest(self, caller: Caller, case_ids: list[str]) -> dict[str, ReviewOut]:
        """The newest review of each of these cases that has one."""
        query = (
            select(ReviewRow)
            .where(ReviewRow.project_id == caller.project_id, ReviewRow.case_id.in_(case_ids))
            .order_by(ReviewRow.id)
        )
        with self._ground.database.reading() as session:
            return {row.case_id: ReviewOut.model_validate(row) for row in session.scalars(query)}

    def _label(self, session: Session, caller: Caller, case_id: str, said: ReviewIn) -> list[str] | None:
        """The diagnoses that the review stands for; None where it stands for none."""
        self._check_codes(said.diagnoses or ())
        held = self._held_probable(session, caller, case_id, said.prediction)
        if said.verdict == "unsure":
            if said.diagnoses:
                raise _fault("/diagnoses", "an unsure review sets no label: leave the diagnoses out")
            return None
        if said.diagnoses is not None:
            return sorted(set(said.diagnoses))
        if said.verdict == "override":
            raise _fault("/diagnoses", "an override says which diagnoses hold; [] = none of them")
        if held is None:
            raise _fault("/prediction", "a confirmation names the prediction or the diagnoses that it confirms")
        return held

    def _check_codes(self, codes: Sequence[str]) -> None:
        for position, code in enumerate(codes):
            try:
                self._ground.catalogue.diagnosis(code)
            except UnknownCode as error:
                raise _fault(f"/diagnoses/{position}", error.detail) from error

    def _held_probable(
        self, session: Session, caller: Caller, case_id: str, prediction_id: str | None
    ) -> list[str] | None:
        if prediction_id is None:
            return None
        prediction = self._predictions.row(session, caller.project_id, prediction_id)
        if prediction.case_id != case_id:
            raise _fault("/prediction", "this prediction is of another case")
        return probable(prediction.result)


def probable(result: Mapping[str, Any]) -> list[str]:
    """The diagnoses that a prediction holds more probable than not."""
    return sorted(str(d["code"]) for d in result["diagnoses"] if d["probability"] >= PROBABLE)


def _fault(pointer: str, detail: str) -> Invalid:
    return Invalid(detail, errors=[PointedError(pointer=pointer, detail=detail)])
