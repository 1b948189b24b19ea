"""One run as its worker sees it."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from sqlalchemy import or_, select, update

from api.ground.clock import now
from api.ground.ground import Ground
from api.ground.runs import RunRow
from api.problems import NotFound
from api.training.heartbeat import living
from api.training.tables import TrainingRunRow

GOING_ON = ("queued", "running")
Row = TypeVar("Row", bound=RunRow)


class Superseded(Exception):
    """Another worker took the run over, since it had not heard of this one for too long."""


class Record(Generic[Row]):
    """Every change of state is a conditional UPDATE, so a late one changes nothing, nor one of a superseded worker."""

    def __init__(self, ground: Ground, table: type[Row], run_id: str, token: str | None = None) -> None:
        """``token``: of the worker whose run it is; None = whoever's."""
        self._ground, self._table, self.run_id, self._token = ground, table, run_id, token

    def read(self) -> Row:
        """The row as it stands; raises NotFound."""
        with self._ground.database.reading() as session:
            row = session.get(self._table, self.run_id)
        if row is None:
            raise NotFound(f"no run {self.run_id!r}")
        return row

    def mine(self) -> Row:
        """The same; raises Superseded where it is another worker's by now."""
        row = self.read()
        if self._token is not None and row.worker != self._token:
            raise Superseded(f"run {self.run_id} was taken over by another worker")
        return row

    def begin(self) -> bool:
        """Queued -> running; also True where it runs already (a restart). False where it has ended."""
        change = update(self._table).where(self._table.id == self.run_id, self._table.state.in_(GOING_ON))
        with self._ground.database.transaction() as session:
            session.execute(change.values(worker=self._token))
        self._move(("queued",), state="running", started_at=now())
        return self.read().state == "running"

    def take_over(self) -> bool:
        """Make it this worker's, unless it is one's that lives; of several that try one succeeds."""
        with self._ground.database.transaction() as session:
            ownerless = or_(self._table.worker.is_(None), self._table.worker.not_in(living(session)))
            mine = (self._table.id == self.run_id, self._table.state.in_(GOING_ON), ownerless)
            found = session.scalars(select(self._table).where(*mine).with_for_update(skip_locked=True)).first()
            if found is not None:
                found.worker = self._token
            return found is not None

    def progress(self, told: dict[str, Any]) -> None:
        """Keep how far it is."""
        self._move(("running",), progress=told)

    def labels(self, told: dict[str, Any]) -> None:
        """Keep which labels taught, and which did not."""
        self._move(("running",), label_report=told)

    def succeed(self, model_id: str | None = None) -> None:
        """Running -> succeeded; ``model_id``: of a training."""
        made = {} if model_id is None else {"model_id": model_id}
        self._move(("running",), state="succeeded", finished_at=now(), **made)

    def fail(self, reason: str) -> None:
        """-> failed, with one clear line."""
        self._move(GOING_ON, state="failed", error=" ".join(reason.split())[:1000], finished_at=now())

    def cancelled(self) -> None:
        """-> cancelled."""
        self._move(GOING_ON, state="cancelled", finished_at=now())

    def _move(self, before: tuple[str, ...], **values: Any) -> None:
        change = update(self._table).where(self._table.id == self.run_id, self._table.state.in_(before))
        if self._token is not None:
            change = change.where(self._table.worker == self._token)
        with self._ground.database.transaction() as session:
            session.execute(change.values(**values))


class RunRecord(Record[TrainingRunRow]):
    """Of a training run."""

    def __init__(self, ground: Ground, run_id: str, token: str | None = None) -> None:
        super().__init__(ground, TrainingRunRow, run_id, token)
