"""A reviewer's word: it is kept for good, withdrawn or not, and the case's label follows from those that stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.access.service import Caller, Role
from api.access.tables import ProjectRow
from api.audit.service import Audit
from api.cases.schemas import CaseOut
from api.cases.service import Cases
from api.cases.tables import CaseRow, ReviewState
from api.ground.clock import now
from api.ground.ground import Ground
from api.ground.ids import new_id
from api.idempotency.service import IdempotencyKeys, SentKey
from api.predictions.doubt import weigh
from api.predictions.service import Predictions
from api.problems import Conflict, Forbidden, Invalid, NotFound, PointedError
from api.reviews.schemas import ReviewIn, ReviewOut
from api.reviews.tables import ReviewRow
from clinical_mm.errors import UnknownCode

PROBABLE = 0.5


class Reviews:
    """Reviews of each project."""

    def __init__(self, ground: Ground, audit: Audit, cases: Cases, predictions: Predictions) -> None:
        self._ground, self._audit, self._cases, self._predictions = ground, audit, cases, predictions
        self._keys = IdempotencyKeys(ground)

    def create(self, caller: Caller, case_id: str, said: ReviewIn, key: SentKey | None = None) -> ReviewOut:
        """Store a review; the label follows in the same transaction.

        Raises:
            NotFound: no such case, or the prediction is not of this case.
            Invalid: the verdict and the diagnoses do not go together.
            Conflict: a verdict from before the model's answer comes too late, or the project asks for none.
            Invalid: the Idempotency-Key came with another request before.
        """
        caller.require(Role.CLINICIAN)
        return self._keys.once(
            caller, key, lambda: self._create(caller, case_id, said, key), lambda id_: self.get(caller, id_)
        )

    def get(self, caller: Caller, review_id: str) -> ReviewOut:
        """One review; raises NotFound."""
        with self._ground.database.reading() as session:
            return ReviewOut.model_validate(self._row(session, caller, review_id))

    def _create(self, caller: Caller, case_id: str, said: ReviewIn, key: SentKey | None) -> ReviewOut:
        with self._ground.database.transaction() as session:
            case = self._cases.row(session, caller.project_id, case_id, lock=True)
            if said.before_model:
                self._refuse_late(session, caller, case, said)
            row = ReviewRow(
                id=new_id("review"),
                project_id=caller.project_id,
                case_id=case_id,
                prediction_id=said.prediction,
                verdict=said.verdict,
                diagnoses=self._label(session, caller, case_id, said),
                comment=said.comment or None,
                reviewer=caller.signature,
                created_at=now(),
                case_version=case.version,
                before_model=said.before_model,
            )
            session.add(row)
            settle(session, case)
            self._keys.keep(session, caller, key, row.id, case_id=case_id)
            self._audit.record(session, caller, "review.create", "review", row.id, case=case_id, verdict=said.verdict)
        return ReviewOut.model_validate(row)

    def withdraw(self, caller: Caller, review_id: str) -> ReviewOut:
        """Take a review back: it stays in the history, and the label goes back to what the others say.

        Raises:
            NotFound: no such review in the project.
            Forbidden: it is of another key, and the caller is no admin.
            Conflict: it was withdrawn before, or it was written before the model's answer was shown.
        """
        caller.require(Role.CLINICIAN)
        with self._ground.database.transaction() as session:
            row = self._row(session, caller, review_id)
            case = self._cases.row(session, caller.project_id, row.case_id, lock=True)
            session.refresh(row)  # another request may have withdrawn it while this one waited for the case
            _refuse_withdrawal(caller, row)
            row.withdrawn_at, row.withdrawn_by = now(), caller.signature
            settle(session, case)
            self._audit.record(session, caller, "review.withdraw", "review", row.id, case=case.id)
        return ReviewOut.model_validate(row)

    def history(self, caller: Caller, case_id: str) -> list[ReviewOut]:
        """A case's reviews, newest first; raises NotFound."""
        query = select(ReviewRow).where(ReviewRow.case_id == case_id).order_by(ReviewRow.id.desc())
        with self._ground.database.reading() as session:
            self._cases.row(session, caller.project_id, case_id)
            return [ReviewOut.model_validate(row) for row in session.scalars(query)]

    def read_by(self, caller: Caller, cases: Sequence[CaseOut]) -> set[str]:
        """Those of these cases of whose present version the caller has written a verdict, withdrawn or not."""
        query = select(ReviewRow.case_id, ReviewRow.case_version).where(
            ReviewRow.project_id == caller.project_id,
            ReviewRow.reviewer == caller.signature,
            ReviewRow.case_id.in_([case.id for case in cases]),
        )
        with self._ground.database.reading() as session:
            read = {(case_id, version) for case_id, version in session.execute(query)}
        return {case.id for case in cases if (case.id, case.version) in read}

    @staticmethod
    def _row(session: Session, caller: Caller, review_id: str) -> ReviewRow:
        row = session.get(ReviewRow, review_id)
        if row is None or row.project_id != caller.project_id:
            raise NotFound("no such review in this project")
        return row

    def _refuse_late(self, session: Session, caller: Caller, case: CaseRow, said: ReviewIn) -> None:
        if said.prediction is not None:
            raise _fault("/prediction", "a verdict from before the model's answer names no prediction")
        if said.verdict == "confirm":
            raise _fault("/verdict", "before the model's answer there is nothing to confirm: override or unsure")
        project = session.get(ProjectRow, caller.project_id)
        if project is None or not project.read_first:
            raise Conflict("this project does not read first: an admin can ask for it with PATCH /v1/project")
        mine = select(ReviewRow.id).where(
            ReviewRow.case_id == case.id,
            ReviewRow.case_version == case.version,
            ReviewRow.reviewer == caller.signature,
        )
        if session.scalars(mine).first() is not None:
            raise Conflict("you have written a verdict on this version of the case, and seen the model's answer")

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
        return probable(self._predictions.out(prediction).model_dump())  # what was shown is what is confirmed


def settle(session: Session, case: CaseRow) -> None:
    """Let label, state of review and sort keys follow from the reviews that stand.

    The label is no input of the model, so the version that predictions saw stays in force. A golden case's label stays:
    what reviewers say of it is kept beside it.
    """
    session.flush()
    query = select(ReviewRow).where(
        ReviewRow.case_id == case.id, ReviewRow.withdrawn_at.is_(None), ReviewRow.before_model.is_(False)
    )
    standing = list(session.scalars(query.order_by(ReviewRow.id)))
    named = [review for review in standing if review.diagnoses is not None]
    if case.golden_at is None:
        _follow(case, named[-1] if named else None)
    of_each = {review.reviewer: tuple(review.diagnoses or ()) for review in named}
    case.contested = len(set(of_each.values())) > 1
    case.review_state = _state(standing[-1].verdict if standing else None, labelled=case.diagnoses is not None)
    weigh(session, case)


def _follow(case: CaseRow, newest: ReviewRow | None) -> None:
    """The label in force: the newest review's that stands and names one, or what was sent since."""
    if newest is not None and (case.given_at is None or newest.created_at >= case.given_at):
        Cases.label(case, newest.diagnoses, newest.reviewer, newest.created_at)
    else:
        Cases.label(case, case.given_diagnoses, case.given_by, case.given_at)


def _state(verdict: str | None, *, labelled: bool) -> ReviewState:
    if verdict is None:
        return ReviewState.SUBMITTED if labelled else ReviewState.UNREVIEWED
    return ReviewState.UNSURE if verdict == "unsure" else ReviewState.REVIEWED


def _refuse_withdrawal(caller: Caller, row: ReviewRow) -> None:
    if row.reviewer != caller.signature and not caller.role.includes(Role.ADMIN):
        raise Forbidden("this review is another reviewer's: its own key or an admin can withdraw it")
    if row.withdrawn_at is not None:
        raise Conflict(f"this review was withdrawn already, by {row.withdrawn_by}")
    if row.before_model:
        raise Conflict("a verdict from before the model's answer stays: it cannot be given unseen once more")


def probable(result: Mapping[str, Any]) -> list[str]:
    """The diagnoses that a prediction holds more probable than not."""
    return sorted(str(d["code"]) for d in result["diagnoses"] if d["probability"] >= PROBABLE)


def _fault(pointer: str, detail: str) -> Invalid:
    return Invalid(detail, errors=[PointedError(pointer=pointer, detail=detail)])
