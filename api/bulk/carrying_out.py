"""What a worker does for one bulk run, line by line: killed at any moment and begun again, no line is done twice.

A line's case or prediction is made under an Idempotency-Key of its own, so that one made just before the end is found.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError
from sqlalchemy import func, insert, select, update
from werkzeug.exceptions import HTTPException

from api.access.service import Caller, Role
from api.bulk.schemas import Outcome
from api.bulk.service import tidy
from api.bulk.tables import BulkItemRow, BulkRunRow
from api.cases import worklist
from api.cases.intake import spool
from api.cases.schemas import CaseFilter, CaseIn
from api.cases.service import Cases
from api.cases.tables import StagedFileRow
from api.ground.blobs import BlobsAway
from api.ground.ground import Ground
from api.ground.strict import parse_json
from api.idempotency.service import SentKey
from api.predictions.service import Predictions
from api.problems import Conflict, Invalid, NotFound, NotReady, PointedError, ServiceError, pointed, pointer
from clinical_mm.errors import ClinicalMMError, InvalidCase

AT_ONCE = 32
"""Lines between two looks at whether to stop."""
Watch = Callable[[dict[str, Any]], bool]
"""Is told how far the run is; gives whether to stop."""


@dataclass(frozen=True)
class Done:
    """What came of a line."""

    outcome: Outcome
    case_id: str | None = None
    prediction_id: str | None = None
    reason: str | None = None
    errors: Sequence[PointedError] = field(default=())


class BulkJob:
    """Carries out imports and runs of predictions, over the services."""

    def __init__(self, ground: Ground, cases: Cases, predictions: Predictions) -> None:
        self._ground, self._cases, self._predictions = ground, cases, predictions

    def carry_out(self, run: BulkRunRow, watch: Watch) -> str:
        """Do what is not done yet; gives ``succeeded`` or ``cancelled``."""
        if run.total is None:
            self._choose(run)
        step = self._import if run.kind == "import" else self._predict
        began, before = time.monotonic(), None
        while True:
            progress = self._progress(run.id, began, before)
            before = progress["done"] if before is None else before
            if watch(progress):
                return "cancelled"
            waiting = self._waiting(run.id)
            if not waiting:
                return "succeeded"
            step(run, waiting)

    def tidy(self, run_id: str) -> None:
        """Take away what only the run needed."""
        tidy(self._ground, run_id)

    def _choose(self, run: BulkRunRow) -> None:
        """The cases that fit now become the run's lines, newest first."""
        fitting = worklist.fitting(run.project_id, CaseFilter.model_validate(run.wanted["filter"])).subquery()
        numbered = select(
            select(BulkRunRow.id).where(BulkRunRow.id == run.id).scalar_subquery(),
            func.row_number().over(order_by=fitting.c.id.desc()),
            fitting.c.id,
        )
        with self._ground.database.transaction() as session:
            session.execute(insert(BulkItemRow).from_select(["run_id", "line", "case_id"], numbered))
            total = select(func.count()).where(BulkItemRow.run_id == run.id).scalar_subquery()
            session.execute(update(BulkRunRow).where(BulkRunRow.id == run.id).values(total=total))

    def _waiting(self, run_id: str) -> Sequence[BulkItemRow]:
        query = select(BulkItemRow).where(BulkItemRow.run_id == run_id, BulkItemRow.outcome.is_(None))
        with self._ground.database.reading() as session:
            return list(session.scalars(query.order_by(BulkItemRow.line).limit(AT_ONCE)))

    def _progress(self, run_id: str, began: float, before: int | None) -> dict[str, Any]:
        query = select(BulkItemRow.outcome, func.count()).where(BulkItemRow.run_id == run_id)
        with self._ground.database.reading() as session:
            counted = Counter(dict(session.execute(query.group_by(BulkItemRow.outcome)).all()))
        total, done = counted.total(), counted.total() - counted.pop(None, 0)
        new = 0 if before is None else done - before
        eta = None if not new else round((total - done) * (time.monotonic() - began) / new, 1)
        share = 1.0 if not total else round(done / total, 4)
        return {"fraction": share, "done": done, "total": total, "counts": dict(counted), "eta_s": eta}

    def _finish(self, item: BulkItemRow, done: Done) -> bool:
        """Say what came of a line; gives False where it was taken away meanwhile."""
        waits = (
            BulkItemRow.run_id == item.run_id,
            BulkItemRow.line == item.line,
            BulkItemRow.outcome.is_(None),
        )
        change = (
            update(BulkItemRow)
            .where(*waits)
            .values(
                document=None,
                outcome=done.outcome,
                case_id=done.case_id,
                prediction_id=done.prediction_id,
                reason=done.reason,
                errors=[fault.model_dump() for fault in done.errors] or None,
            )
        )
        with self._ground.database.transaction() as session:
            return session.scalar(change.returning(BulkItemRow.line)) is not None

    def _import(self, run: BulkRunRow, waiting: Iterable[BulkItemRow]) -> None:
        with self._ground.database.reading() as session:
            query = select(StagedFileRow.name, StagedFileRow.sha256).where(StagedFileRow.run_id == run.id)
            files = dict(session.execute(query).all())
        for item in waiting:
            done = self._import_line(run, item, files)
            if not self._finish(item, done) and done.outcome == "accepted":  # its patient was erased in between
                self._cases.erase(replace(_caller(run), role=Role.ADMIN), str(done.case_id))

    def _import_line(self, run: BulkRunRow, item: BulkItemRow, files: Mapping[str, str]) -> Done:
        try:
            body, names = _read(item.document or "")
            with ExitStack() as until:
                uploads = [
                    spool(self._ground.spool, name, self._ground.blobs.get(_staged(files, n, name)), until)
                    for n, name in enumerate(names)
                ]
                stored = self._cases.submit(_caller(run), body, uploads, f"{run.id}/{item.line}")
        except Conflict as error:
            return Done("present", reason=str(error))
        except ValidationError as error:
            return Done("refused", reason="the case does not fit its schema", errors=pointed(error))
        except InvalidCase as error:
            faults = [PointedError(pointer=where, detail=what) for where, what in error.faults]
            return Done("refused", reason=str(error), errors=faults)
        except NotReady:  # the line is not at fault: its turn comes again
            raise
        except ServiceError as error:
            return Done("refused", reason=error.detail, errors=error.errors)
        except (ClinicalMMError, HTTPException) as error:
            return Done("refused", reason=getattr(error, "description", None) or str(error))
        return Done("accepted", stored.case.id)

    def _predict(self, run: BulkRunRow, waiting: Sequence[BulkItemRow]) -> None:
        """Ask for all at once: what arrives together shares a forward pass."""
        settings = self._ground.settings
        with ThreadPoolExecutor(min(settings.max_batch, settings.max_queue)) as callers:
            for item, done in zip(
                waiting, callers.map(lambda item: self._predict_one(run, item), waiting), strict=True
            ):
                self._finish(item, done)

    def _predict_one(self, run: BulkRunRow, item: BulkItemRow) -> Done:
        case_id, model = str(item.case_id), str(run.wanted["model"])
        key = SentKey.of(f"{run.id}/{item.line}", case_id, model)
        try:
            made = self._predictions.create(_caller(run), case_id, model, key)
        except NotFound:
            return Done("failed", case_id, reason="the case was erased meanwhile")
        except BlobsAway:  # the case is not at fault: its turn comes again
            raise
        except ClinicalMMError as error:
            return Done("failed", case_id, reason=str(error))
        return Done("predicted", case_id, made.id)


def _caller(run: BulkRunRow) -> Caller:
    """Whoever asked for the run, in the one role that it takes."""
    return Caller(run.project_id, run.key_id, run.key_name, Role.CLINICIAN)


def _read(line: str) -> tuple[CaseIn, list[str]]:
    """The case of a line, and the files that it names; what an export tells beyond the case is left aside."""
    data = parse_json(line.encode())
    if not isinstance(data, dict):
        raise Invalid("a line must hold a JSON object", errors=[PointedError(pointer="", detail="must be an object")])
    names = data.pop("files", [])
    for own in ("id", "label_from", "label_by", "golden"):
        data.pop(own, None)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        fault = PointedError(pointer="/files", detail="must be a list of names")
        raise Invalid("files must be a list of names", errors=[fault])
    return CaseIn.model_validate(data), names


def _staged(files: Mapping[str, str], position: int, name: str) -> str:
    if name not in files:
        fault = PointedError(pointer=pointer(("files", position)), detail=f"no file {name!r} was sent")
        raise Invalid(f"no file {name!r} was sent", errors=[fault])
    return files[name]
