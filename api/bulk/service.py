"""Bulk runs: asked for, watched, cancelled. A worker carries them out (carrying_out.py)."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from api.access.service import Caller, Role
from api.audit.service import Audit
from api.bulk.schemas import BulkRunOut, PredictionRunIn, PredictionRunOut, ResultOut, ResultPage, ResultQuery
from api.bulk.sent import SentImport
from api.bulk.tables import BulkItemRow, BulkRunRow
from api.cases.scanning import refuse_infected
from api.cases.sweep import discard_unused
from api.cases.tables import StagedFileRow
from api.ground.clock import now
from api.ground.ground import Ground
from api.ground.ids import new_id
from api.ground.runs import ENDED
from api.idempotency.service import IdempotencyKeys, SentKey
from api.models.service import Models
from api.problems import Conflict, NotFound

Kind = Literal["import", "predictions"]
SHOWN = 100
NAMED: dict[Kind, str] = {"import": "case-import", "predictions": "prediction-run"}


class Bulk:
    """The bulk runs of each project."""

    def __init__(self, ground: Ground, audit: Audit, models: Models) -> None:
        self._ground, self._audit, self._models = ground, audit, models
        self._keys = IdempotencyKeys(ground)

    def start_import(self, caller: Caller, sent: SentImport, key: SentKey | None = None) -> BulkRunOut:
        """Keep what was sent and queue its import: whole or not at all.

        Raises:
            Invalid: a file bears a virus; the Idempotency-Key came with another request before.
            ScannerAway: files cannot be scanned at present.
        """
        caller.require(Role.CLINICIAN)
        return self._keys.once(
            caller, key, lambda: self._stage(caller, sent, key), lambda id_: self.get(caller, "import", id_)
        )

    def start_predictions(self, caller: Caller, wanted: PredictionRunIn, key: SentKey | None = None) -> BulkRunOut:
        """Queue predictions of the cases that fit when their turn comes, by the model that serves now or a named one.

        Raises:
            NotFound: no such model in the project.
            NotReady: no model serves yet.
            Invalid: the Idempotency-Key came with another request before.
        """
        caller.require(Role.CLINICIAN)

        def queue() -> BulkRunOut:
            model = wanted.model or self._models.serving_id(caller.project_id)
            asked = {
                "filter": wanted.filter.model_dump(mode="json", exclude_none=True),
                "model": self._models.get(caller, model).id,
            }
            row = _row(caller, "predictions", asked, total=None)
            with self._ground.database.transaction() as session:
                self._queue(session, caller, row, key)
            return _out(row)

        return self._keys.once(caller, key, queue, lambda id_: self.get(caller, "predictions", id_))

    def list(self, caller: Caller, kind: Kind) -> list[Any]:
        """The project's newest runs of a kind."""
        query = select(BulkRunRow).where(BulkRunRow.project_id == caller.project_id, BulkRunRow.kind == kind)
        with self._ground.database.reading() as session:
            return [_out(row) for row in session.scalars(query.order_by(BulkRunRow.id.desc()).limit(SHOWN))]

    def get(self, caller: Caller, kind: Kind, run_id: str) -> BulkRunOut:
        """One run; raises NotFound."""
        with self._ground.database.reading() as session:
            return _out(_found(session, caller, kind, run_id))

    def results(self, caller: Caller, kind: Kind, run_id: str, wanted: ResultQuery) -> ResultPage:
        """What came of its lines, in their order; raises NotFound."""
        query = select(BulkItemRow).where(BulkItemRow.run_id == run_id, BulkItemRow.line > (wanted.cursor or 0))
        if wanted.outcome is not None:
            query = query.where(BulkItemRow.outcome == wanted.outcome)
        with self._ground.database.reading() as session:
            _found(session, caller, kind, run_id)
            rows = list(session.scalars(query.order_by(BulkItemRow.line).limit(wanted.limit + 1)))
        items = [_result(row) for row in rows[: wanted.limit]]
        return ResultPage(items=items, next_cursor=str(items[-1].line) if len(rows) > wanted.limit else None)

    def cancel(self, caller: Caller, kind: Kind, run_id: str) -> BulkRunOut:
        """Stop a run: a queued one at once, a running one after the lines at hand; what is done stays.

        Raises:
            NotFound: no such run in the project.
            Conflict: it has ended.
        """
        caller.require(Role.CLINICIAN)
        with self._ground.database.transaction() as session:
            row = _found(session, caller, kind, run_id, lock=True)
            if row.state in ENDED:
                raise Conflict(f"the run has {row.state} already")
            row.cancel_requested = True
            if row.state == "queued":
                row.state, row.finished_at = "cancelled", now()
            self._audit.record(session, caller, f"{kind}.cancel", NAMED[kind], run_id)
        if row.state == "cancelled":
            tidy(self._ground, run_id)
        return _out(row)

    def _stage(self, caller: Caller, sent: SentImport, key: SentKey | None) -> BulkRunOut:
        """Blobs first, then one transaction; where that fails, the blobs that nobody uses are taken away again."""
        refuse_infected(self._ground, ((file.name, file.path) for file in sent.files))
        row, digests, stored = _row(caller, "import", {}, total=len(sent.lines)), dict[str, str](), False
        try:
            with self._ground.blobs.writing():
                for file in sent.files:
                    self._ground.blobs.put_file(file.path, file.sha256)
                    digests[file.name] = file.sha256
                with self._ground.database.transaction() as session:
                    self._queue(session, caller, row, key, files=len(digests))
                    lines = (BulkItemRow(run_id=row.id, line=n, document=line) for n, line in sent.lines)
                    session.add_all(lines)
                    staged = (StagedFileRow(run_id=row.id, name=n, sha256=digest) for n, digest in digests.items())
                    session.add_all(staged)
                stored = True
        finally:
            if not stored:
                discard_unused(self._ground, set(digests.values()))
        return _out(row)

    def _queue(self, session: Session, caller: Caller, row: BulkRunRow, key: SentKey | None, **detail: int) -> None:
        session.add(row)
        session.flush()
        self._keys.keep(session, caller, key, row.id)
        kind: Kind = "import" if row.kind == "import" else "predictions"
        self._audit.record(session, caller, f"{kind}.start", NAMED[kind], row.id, **detail)


def tidy(ground: Ground, run_id: str) -> None:
    """Take away what a run that has ended still holds of its cases: lines not done, files that became no case's."""
    with ground.database.transaction() as session:
        mine = BulkItemRow.run_id == run_id
        session.execute(update(BulkItemRow).where(mine, BulkItemRow.document.is_not(None)).values(document=None))
        gone = delete(StagedFileRow).where(StagedFileRow.run_id == run_id).returning(StagedFileRow.sha256)
        digests = set(session.scalars(gone))
    discard_unused(ground, digests)


def _row(caller: Caller, kind: Kind, wanted: dict[str, Any], total: int | None) -> BulkRunRow:
    return BulkRunRow(
        id=new_id("import" if kind == "import" else "scoring"),
        project_id=caller.project_id,
        kind=kind,
        wanted=wanted,
        key_id=caller.key_id,
        key_name=caller.name,
        total=total,
        state="queued",
        cancel_requested=False,
        created_at=now(),
        created_by=caller.signature,
    )


def _found(session: Session, caller: Caller, kind: Kind, run_id: str, *, lock: bool = False) -> BulkRunRow:
    row = session.get(BulkRunRow, run_id, with_for_update=lock)
    if row is None or row.project_id != caller.project_id or row.kind != kind:
        raise NotFound(f"no such {NAMED[kind]} in this project")
    return row


def _out(row: BulkRunRow) -> BulkRunOut:
    told = {
        name: getattr(row, name)
        for name in ("id", "state", "progress", "error", "created_at", "created_by", "started_at", "finished_at")
    }
    if row.kind == "import":
        return BulkRunOut.model_validate(told)
    return PredictionRunOut.model_validate({**told, **row.wanted})


def _result(row: BulkItemRow) -> ResultOut:
    return ResultOut.model_validate(
        {
            "line": row.line,
            "outcome": row.outcome,
            "case_id": row.case_id,
            "prediction_id": row.prediction_id,
            "reason": row.reason,
            "errors": row.errors or [],
        }
    )
