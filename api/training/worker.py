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
from api.cases.service import Cases
from api.ground.ground import Ground
from api.ground.jobs import JobEngine
from api.ground.logs import configure
from api.models.service import Models
from api.predictions.doubt import weigh
from api.promotion.service import Promotions
from api.settings import Settings
from api.shadows.keeper import Keeper
from api.shadows.scoring import Scoring
from api.training.heartbeat import Heartbeat
from api.training.job import TrainingJob
from api.training.record import RunRecord, Superseded
from api.training.service import waiting_runs
from clinical_mm.errors import ClinicalMMError
from clinical_mm.training.reasons import reason

log = logging.getLogger(__name__)
POLL_S, SWEEP_S = 0.5, 3.0


class Worker:
    """The engine, the one workflow there is, and the process in which shadows score."""

    def __init__(self, settings: Settings) -> None:
        self._ground = Ground.of(settings)
        audit = Audit(self._ground.database)
        self._cases, self._models = Cases(self._ground, audit, weigh), Models(self._ground, audit)
        self._promotions = Promotions(self._ground, audit, self._cases, self._models)
        self._heart = Heartbeat(self._ground)
        self._shadows = Keeper(Scoring(self._ground, self._cases, self._models, self._heart.worker_id))
        self._engine = JobEngine(settings, self._heart.worker_id)
        self._freeze = self._step("freeze", TrainingJob.freeze, retry=_is_outage)
        self._train = self._step("train", TrainingJob.train)
        self._register = self._step("register", TrainingJob.register, retry=_is_outage)
        self._compare = self._step("compare", TrainingJob.compare, retry=_is_outage)
        self._workflow = self._engine.workflow("training_run", lambda run_id: self._training_run(run_id))  # noqa: PLW0108 - the engine marks the function it is given, which a bound method refuses

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop; what runs then is resumed at the next start."""
        self._heart.start()
        self._engine.launch()
        log.info("job worker %s is ready", self._heart.worker_id)
        known, swept = set[str](), time.monotonic()
        while not stop.wait(POLL_S) and not self._heart.lost:
            try:
                for run_id in waiting_runs(self._ground):
                    if run_id not in known:
                        self._engine.enqueue(self._workflow, run_id)
                        known.add(run_id)
                    elif self._engine.has_ended(run_id):
                        self._give_up(run_id)
                self._shadows.tick()
                if time.monotonic() > swept + SWEEP_S:
                    self._take_over()
                    swept = time.monotonic()
            except SQLAlchemyError as error:  # the database is away for a while: the rows are still there afterwards
                log.warning("the database does not answer: %s", type(error).__name__)

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
            if self._job(run_id).record.take_over():
                log.warning("run %s is taken over from worker %s, which is silent", run_id, begun[run_id])
                self._engine.take_over(run_id)

    def _step(
        self, name: str, work: Callable[[TrainingJob], Any], retry: Callable[[BaseException], bool] | None = None
    ) -> Callable[[str], Any]:
        def step(run_id: str) -> Any:
            try:
                return work(self._job(run_id))
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
        RunRecord(self._ground, run_id).fail("the worker met an unexpected error; its log has the details")
        self._job(run_id).tidy()

    def _job(self, run_id: str) -> TrainingJob:
        return TrainingJob(self._ground, self._cases, self._models, self._promotions, run_id, self._heart.token)


def _is_outage(error: BaseException) -> bool:
    return isinstance(error, SQLAlchemyError)


def run_worker(settings: Settings) -> None:
    """Be a worker until SIGTERM or Ctrl-C."""
    configure(settings.log_format, settings.log_level)
    stop = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # an embedded worker leaves Ctrl-C to its server
        signal.signal(signal.SIGINT, end)
    worker = Worker(settings)
    worker.run(stop)
    worker.bow_out()
    # A training that runs is a process of its own and ends with this one; waiting for its thread would take an epoch.
    logging.shutdown()
    os._exit(0)
