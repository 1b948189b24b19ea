"""Compare the cases of a window with those that taught the serving model; answers and reviews with earlier ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.access.service import Caller
from api.cases.tables import CaseRow
from api.ground.clock import now
from api.ground.ground import Ground
from api.models.service import Models
from api.watching.agreement import by_week
from api.watching.answers import MOST, answers, strangeness_of
from api.watching.features import Features, images_of, inputs_of, unmeasured
from api.watching.schemas import DriftOut, Look, RulingOut, WatchingOut
from api.watching.tables import WatchRow
from clinical_mm.watching.distances import held_back
from clinical_mm.watching.drift import Drift, drifts

PAGE = 500
"""Cases read at a time."""


class Watching:
    """What has moved in each project."""

    def __init__(self, ground: Ground, models: Models) -> None:
        self._ground, self._models = ground, models

    def report(self, caller: Caller, days: int) -> WatchingOut:
        """Of the serving model; raises NotReady where none serves."""
        project, since = caller.project_id, now() - timedelta(days=days)
        model_id = self._models.serving_id(project)
        manifest = self._models.manifest(model_id)
        used = () if manifest is None else manifest.cases
        taught = [case.case for case in used if case.part == "train"][-MOST:]
        known = {case.case for case in used if case.part != "left_out"}  # those had no label: they are new ones
        beside = held_back(self._models.bundle_folder(model_id))
        with self._ground.database.reading() as session:
            reference = list(_by_id(session, project, taught))
            fresh = [row for row in self._newest(session, project, since) if row.id not in known]
            said = answers(session, project, model_id, since, known)
            agreement = by_week(session, project, model_id)
            ruling = _ruling(session, project, model_id)
        then, strange = self._sides(reference), {strangeness_of(name): list(far) for name, far in beside.items()}
        moved = drifts({**then[0], **then[1], **strange}, self._now(fresh, said.strange))
        return WatchingOut(
            model=model_id,
            days=days,
            inputs=[_out(one) for one in moved if one.feature in then[0]],
            images=[_out(one) for one in moved if one.feature in then[1]],
            strangeness=[_out(one) for one in moved if one.feature in strange],
            outputs=list(map(_out, drifts(said.before, said.now))),
            agreement=agreement,
            ruling=ruling,
            notes=list(_notes(len(taught), len(reference), unmeasured([*reference, *fresh]))),
        )

    def _sides(self, rows: Sequence[CaseRow]) -> tuple[Features, Features]:
        return inputs_of(rows, self._ground.catalogue), images_of(rows)

    def _now(self, fresh: Sequence[CaseRow], strange: Features) -> Features:
        inputs, images = self._sides(fresh)
        return {**inputs, **images, **strange}

    def _newest(self, session: Session, project_id: str, since: datetime) -> list[CaseRow]:
        query = select(CaseRow).where(CaseRow.project_id == project_id, CaseRow.created_at >= since)
        return list(session.scalars(query.order_by(CaseRow.id.desc()).limit(MOST)))


def _notes(taught: int, stored: int, unmeasured: int) -> Iterator[str]:
    if not taught:
        yield "the model is older than manifests are: the cases that taught it are not known"
    if stored < taught:
        yield f"{taught - stored} of the {taught} cases that taught it are not stored here (any more)"
    if unmeasured:
        yield f"{unmeasured} cases have images whose pixels were never measured: `clinical-mm cases measure` does it"


def _by_id(session: Session, project_id: str, ids: Sequence[str]) -> Iterable[CaseRow]:
    for start in range(0, len(ids), PAGE):
        some = CaseRow.id.in_(ids[start : start + PAGE])
        yield from session.scalars(select(CaseRow).where(CaseRow.project_id == project_id, some))


def _ruling(session: Session, project_id: str, model_id: str) -> RulingOut | None:
    row = session.get(WatchRow, project_id)
    if row is None or row.look is None:
        return None
    ruling = Look.model_validate(row.look).ruling
    return ruling if ruling.model == model_id else None


def _out(one: Drift) -> DriftOut:
    return DriftOut.model_validate(asdict(one))
