"""Compare the cases of a window with those that taught the serving model; answers and reviews with earlier ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime, timedelta

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from api.access.service import Caller
from api.cases.tables import CaseRow
from api.ground.clock import now
from api.ground.ground import Ground
from api.models.service import Models
from api.predictions.tables import PredictionRow
from api.reviews.tables import ReviewRow
from api.watching.schemas import DriftOut, WatchingOut, WeekOut
from clinical_mm.watching.drift import Drift, Value, drifts

PAGE, MOST = 500, 20_000
"""Cases read at a time, and the newest so many of a side at most."""
WEEKS = 26
Features = dict[str, list[Value]]


class Watching:
    """What has moved in each project."""

    def __init__(self, ground: Ground, models: Models) -> None:
        self._ground, self._models = ground, models

    def report(self, caller: Caller, days: int) -> WatchingOut:
        """Of the serving model; raises NotReady where none serves."""
        model_id = self._models.serving_id(caller.project_id)
        since, notes = now() - timedelta(days=days), []
        manifest = self._models.manifest(model_id)
        used = () if manifest is None else manifest.cases
        taught = [case.case for case in used if case.part == "train"][-MOST:]
        if not taught:
            notes.append("the model is older than manifests are: the cases that taught it are not known")
        with self._ground.database.reading() as session:
            reference = list(_by_id(session, caller.project_id, taught))
            then = self._of_cases(reference)
            names = {case.case for case in used if case.part != "left_out"}  # those had no label: they are new ones
            fresh = self._newest(session, caller.project_id, since)
            inputs = drifts(then, self._of_cases(row for row in fresh if row.id not in names)) if then else []
            outputs = drifts(*self._answers(session, caller.project_id, model_id, since))
            agreement = _agreement(session, caller.project_id, model_id)
        if gone := len(taught) - len(reference):
            notes.append(f"{gone} of the {len(taught)} cases that taught it are not stored here (any more)")
        return WatchingOut(
            model=model_id,
            days=days,
            inputs=list(map(_out, inputs)),
            outputs=list(map(_out, outputs)),
            agreement=agreement,
            notes=notes,
        )

    def _of_cases(self, rows: Iterable[CaseRow]) -> Features:
        """What is watched of each case, a list a feature; nothing where there is no case."""
        told = [self._of_case(row) for row in rows]
        return {name: [one[name] for one in told] for name in told[0]} if told else {}

    def _of_case(self, row: CaseRow) -> dict[str, Value]:
        first = row.files[0].attributes if row.files else {}
        vitals = {vital.name: row.vitals.get(vital.name) for vital in self._ground.catalogue.vitals}
        return {
            **{name: None if value is None else float(value) for name, value in vitals.items()},
            "age": row.age_years,
            "sex": row.sex,
            "words of the note": None if row.note is None else float(len(row.note.split())),
            "images": str(len(row.files)) if len(row.files) < 2 else "2 or more",
            "modality": first.get("modality"),
            "view": first.get("view_position"),
        }

    def _newest(self, session: Session, project_id: str, since: datetime) -> list[CaseRow]:
        query = select(CaseRow).where(CaseRow.project_id == project_id, CaseRow.created_at >= since)
        return list(session.scalars(query.order_by(CaseRow.id.desc()).limit(MOST)))

    def _answers(self, session: Session, project_id: str, model_id: str, since: datetime) -> tuple[Features, Features]:
        """A model's probabilities before the window and in it, a list a diagnosis; of each case the newest answer."""
        query = select(PredictionRow).where(PredictionRow.project_id == project_id, PredictionRow.model_id == model_id)
        sides: tuple[Features, Features] = (defaultdict(list), defaultdict(list))
        seen: set[str] = set()
        for row in session.scalars(query.order_by(PredictionRow.id.desc()).limit(MOST)):
            if row.case_id not in seen:
                seen.add(row.case_id)
                for told in row.result["diagnoses"]:
                    sides[row.created_at >= since][told["code"]].append(float(told["probability"]))
        return sides


def _by_id(session: Session, project_id: str, ids: Sequence[str]) -> Iterable[CaseRow]:
    for start in range(0, len(ids), PAGE):
        some = CaseRow.id.in_(ids[start : start + PAGE])
        yield from session.scalars(select(CaseRow).where(CaseRow.project_id == project_id, some))


def _agreement(session: Session, project_id: str, model_id: str) -> list[WeekOut]:
    """Of reviews that stand and name an answer of this model, a week a line, the newest last."""
    from scipy.stats import binomtest

    counted: Mapping[date, list[int]] = defaultdict(lambda: [0, 0])
    for said, verdict in session.execute(_reviews(project_id, model_id)):
        monday = said.date() - timedelta(days=said.weekday())
        counted[monday][0] += 1
        counted[monday][1] += verdict == "confirm"
    weeks = []
    for monday, (reviews, confirmed) in sorted(counted.items())[-WEEKS:]:
        interval = binomtest(confirmed, reviews).proportion_ci(method="wilson")
        weeks.append(
            WeekOut(
                week=monday.isoformat(),
                reviews=reviews,
                confirmed=confirmed,
                low=round(interval.low, 4),
                high=round(interval.high, 4),
            )
        )
    return weeks


def _reviews(project_id: str, model_id: str) -> Select[datetime, str]:
    return (
        select(ReviewRow.created_at, ReviewRow.verdict)
        .join(PredictionRow, PredictionRow.id == ReviewRow.prediction_id)
        .where(ReviewRow.project_id == project_id, PredictionRow.model_id == model_id)
        .where(ReviewRow.withdrawn_at.is_(None), ReviewRow.before_model.is_(False))
        .where(ReviewRow.verdict.in_(("confirm", "override")))
    )


def _out(one: Drift) -> DriftOut:
    return DriftOut.model_validate(asdict(one))
