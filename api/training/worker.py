"""A job worker: turns queued runs into durable workflows and carries them out, one at a time.

After a crash the engine resumes what this worker had begun, from its last finished step.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from api.audit.service import Audit
from api.bulk.carrying_out import BulkJob
from api.bulk.tables import BulkRunRow
from api.cases.service import Cases
from api.ground import tracing
from api.ground.blobs import BlobsAway
from api.ground.ground import Ground
from api.ground.jobs import BULK, QUEUE, JobEngine
from api.ground.logs import configure
from api.ground.runs import RunRow
from api.ground.scanner import ScannerAway
from api.ground.secret import trail_key
from api.idempotency.service import IdempotencyKeys
from api.models.service import Models
from api.predictions.doubt import weigh
from api.predictions.service import Predictions
from api.promotion.service import Promotions
from api.settings import Settings
from api.shadows.keeper import Keeper
from api.shadows.scoring import Scoring
from api.training.heartbeat import Heartbeat
from api.training.job import TrainingJob
from api.training.record import Record, Superseded
from api.training.service import waiting_runs
from api.training.tables import TrainingRunRow
from clinical_mm.errors import ClinicalMMError
from clinical_mm.training.reasons import reason

log = logging.getLogger(__name__)
POLL_S, SWEEP_S, KEYS_S = 0.5, 3.0, 3600.0
UNFORESEEN = "the worker met an unexpected error; its log has the details"


class Worker:
    """The engine, its two workflows - trainings and bulk runs -, and the process in which shadows score."""

    def __init__(self, settings: Settings) -> None:
        self._ground = Ground.of(settings)
        tracing.follow(self._ground.database.engine)
        audit = Audit(self._ground.database, trail_key(settings.workspace), settings.trail_folder)
        self._cases, self._models = Cases(self._ground, audit, weigh), Models(self._ground, audit)
        self._promotions = Promotions(self._ground, audit, self._cases, self._models)
        self._bulk = BulkJob(self._ground, self._cases, Predictions(self._ground, audit, self._cases, self._models))
        self._keys = IdempotencyKeys(self._ground)
        self._heart = Heartbeat(self._ground)
        self._shadows = Keeper(Scoring(self._ground, self._cases, self._models, self._heart.worker_id))
        self._engine = JobEngine(settings, self._heart.worker_id)
        self._freeze = self._step("freeze", lambda run_id: self._job(run_id).freeze(), retry=_is_outage)
        self._train = self._step("train", lambda run_id: self._job(run_id).train())
        self._register = self._step("register", lambda run_id: self._job(run_id).register(), retry=_is_outage)
        self._compare = self._step("compare", lambda run_id: self._job(run_id).compare(), retry=_is_outage)
        self._lines = self._step("lines", self._carry_out, retry=_is_outage)
        # lambdas: the engine marks the function it is given, which a bound method refuses
        self._workflow = self._engine.workflow("training_run", lambda run_id: self._training_run(run_id))  # noqa: PLW0108
        self._bulk_workflow = self._engine.workflow("bulk_run", lambda run_id: self._bulk_run(run_id))  # noqa: PLW0108

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop; what runs then is resumed at the next start."""
        self._heart.start()
        self._engine.launch()
        log.info("job worker %s is ready", self._heart.worker_id)
        known, swept, forgot = set[str](), time.monotonic(), -KEYS_S
        while not stop.wait(POLL_S) and not self._heart.lost:
            try:
                self._queue(waiting_runs(self._ground) + waiting_runs(self._ground, BulkRunRow), known)
                self._shadows.tick()
                if time.monotonic() > swept + SWEEP_S:
                    self._take_over()
                    swept = time.monotonic()
                if time.monotonic() > forgot + KEYS_S:
                    self._keys.sweep()
                    forgot = time.monotonic()
            except SQLAlchemyError as error:  # the database is away for a while: the rows are still there afterwards
                log.warning("the database does not answer: %s", type(error).__name__)

    def _queue(self, waiting: list[str], known: set[str]) -> None:
        """Turn runs into workflows; tell of those whose workflow is over though they are not."""
        for run_id in waiting:
            if run_id in known:
                if self._engine.has_ended(run_id):
                    self._give_up(run_id)
                continue
            if _trains(run_id):
                self._engine.enqueue(self._workflow, run_id)
            else:
                self._engine.enqueue(self._bulk_workflow, run_id, BULK)
            known.add(run_id)

    def close(self) -> None:
        """Stop the engine and the scoring process, and give back connections."""
        self.bow_out()
        self._engine.close()
        self._ground.close()

    def bow_out(self) -> None:
        """Say that this worker ends, and end its scoring process; the process is about to."""
        self._shadows.close()
        self._heart.end()

    def _take_over(self) -> None:
        """Queue again what workers had begun that are dead now."""
        begun = self._engine.begun()
        dead = self._heart.silent(begun.values())
        for run_id in (run_id for run_id, worker_id in begun.items() if worker_id in dead):
            if self._record(run_id).take_over():
                log.warning("run %s is taken over from worker %s, which is silent", run_id, begun[run_id])
                self._engine.take_over(run_id, QUEUE if _trains(run_id) else BULK)

    def _step(
        self, name: str, work: Callable[[str], Any], retry: Callable[[BaseException], bool] | None = None
    ) -> Callable[[str], Any]:
        def step(run_id: str) -> Any:
            try:
                with tracing.span(f"job.{name}", run=run_id):
                    return work(run_id)
            except Superseded as error:
                # Whatever this process still told the engine of the run would count for the other's: it tells nothing.
                log.error("%s: this worker had not been heard for too long, and ends", error)  # noqa: TRY400
                logging.shutdown()
                os._exit(os.EX_TEMPFAIL)

        return self._engine.step(name, step, retry)

    def _training_run(self, run_id: str) -> None:
        record = self._job(run_id).record
        try:
            if record.begin():
                self._freeze(run_id)
                self._conclude(run_id, str(self._train(run_id)))
        except (ClinicalMMError, OSError, ValueError) as error:
            log.warning("run %s failed: %s", run_id, error)
            record.fail(reason(error))
        self._job(run_id).tidy()

    def _conclude(self, run_id: str, outcome: str) -> None:
        if outcome == "succeeded":
            self._register(run_id)
            self._compare(run_id)
        elif outcome == "cancelled":
            self._job(run_id).record.cancelled()
        else:
            self._job(run_id).record.fail(outcome.removeprefix("failed: "))

    def _give_up(self, run_id: str) -> None:
        """Tell of a run whose workflow ended without a word: an error that nobody foresaw, or it died too often."""
        Record(self._ground, _table(run_id), run_id).fail(UNFORESEEN)
        if _trains(run_id):
            self._job(run_id).tidy()
        else:
            self._bulk.tidy(run_id)

    def _bulk_run(self, run_id: str) -> None:
        record = self._record(run_id)
        try:
            if record.begin():
                if self._lines(run_id) == "succeeded":
                    record.succeed()
                else:
                    record.cancelled()
        except (ClinicalMMError, OSError, ValueError) as error:
            log.warning("run %s failed: %s", run_id, error)
            record.fail(reason(error))
        self._bulk.tidy(run_id)

    def _carry_out(self, run_id: str) -> str:
        record = Record(self._ground, BulkRunRow, run_id, self._heart.token)

        def watch(progress: dict[str, Any]) -> bool:
            record.progress(progress)
            return record.mine().cancel_requested

        return self._bulk.carry_out(record.mine(), watch)

    def _record(self, run_id: str) -> Record[Any]:
        return Record(self._ground, _table(run_id), run_id, self._heart.token)

    def _job(self, run_id: str) -> TrainingJob:
        return TrainingJob(self._ground, self._cases, self._models, self._promotions, run_id, self._heart.token)


def _trains(run_id: str) -> bool:
    return run_id.startswith("run_")


def _table(run_id: str) -> type[RunRow]:
    return TrainingRunRow if _trains(run_id) else BulkRunRow


def _is_outage(error: BaseException) -> bool:
    return isinstance(error, SQLAlchemyError | BlobsAway | ScannerAway)


def run_worker(settings: Settings, at_end: Callable[[], None] = lambda: None) -> None:
    """Be a worker until SIGTERM or Ctrl-C; ``at_end`` is called before the process ends."""
    configure(settings.log_format, settings.log_level, settings.otlp_logs_endpoint)
    stop = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # an embedded worker leaves Ctrl-C to its server
        signal.signal(signal.SIGINT, end)
    tracing.start(settings.otlp_endpoint)
    worker = Worker(settings)
    worker.run(stop)
    worker.bow_out()
    at_end()
    # A training that runs is a process of its own and ends with this one; waiting for its thread would take an epoch.
    tracing.stop()
    logging.shutdown()
    os._exit(0)
