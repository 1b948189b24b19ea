"""A job worker: turns queued runs into durable workflows and carries them out, one at a time.

After a crash the engine resumes what this worker had begun, from its last finished step.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from types import FrameType

from sqlalchemy.exc import SQLAlchemyError

from api.audit.service import Audit
from api.cases.service import Cases
from api.ground.ground import Ground
from api.ground.jobs import JobEngine
from api.models.service import Models
from api.predictions.doubt import weigh
from api.promotion.service import Promotions
from api.settings import Settings
from api.shadows.keeper import Keeper
from api.shadows.scoring import Scoring
from api.training.job import TrainingJob
from api.training.service import waiting_runs
from clinical_mm.errors import ClinicalMMError

log = logging.getLogger(__name__)
POLL_S = 0.5


class Worker:
    """The engine, the one workflow there is, and the process in which shadows score."""

    def __init__(self, settings: Settings) -> None:
        self._ground = Ground.of(settings)
        audit = Audit(self._ground.database)
        self._cases, self._models = Cases(self._ground, audit, weigh), Models(self._ground, audit)
        self._promotions = Promotions(self._ground, audit, self._cases, self._models)
        self._shadows = Keeper(Scoring(self._ground, self._cases, self._models))
        self._engine = JobEngine(settings)
        self._freeze = self._engine.step("freeze", lambda run_id: self._job(run_id).freeze(), retry=_is_outage)
        self._train = self._engine.step("train", lambda run_id: self._job(run_id).train())
        self._register = self._engine.step("register", lambda run_id: self._job(run_id).register(), retry=_is_outage)
        self._compare = self._engine.step("compare", lambda run_id: self._job(run_id).compare(), retry=_is_outage)
        self._workflow = self._engine.workflow("training_run", lambda run_id: self._training_run(run_id))  # noqa: PLW0108 - the engine marks the function it is given, which a bound method refuses

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop; what runs then is resumed at the next start."""
        self._engine.launch()
        log.info("job worker %s is ready", self._ground.settings.worker_id)
        known: set[str] = set()
        while not stop.wait(POLL_S):
            try:
                for run_id in waiting_runs(self._ground):
                    if run_id not in known:
                        self._engine.enqueue(self._workflow, run_id)
                        known.add(run_id)
                    elif self._engine.has_ended(run_id):
                        self._give_up(run_id)
                self._shadows.tick()
            except SQLAlchemyError as error:  # the database is away for a while: the rows are still there afterwards
                log.warning("the database does not answer: %s", type(error).__name__)

    def close(self) -> None:
        """Stop the engine and the scoring process, and give back connections."""
        self._shadows.close()
        self._engine.close()
        self._ground.close()

    def _training_run(self, run_id: str) -> None:
        record = self._job(run_id).record
        try:
            if record.begin():
                self._freeze(run_id)
                self._conclude(run_id, str(self._train(run_id)))
        except (ClinicalMMError, OSError, ValueError) as error:
            log.warning("run %s failed: %s", run_id, error)
            record.fail(str(error))
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
        job = self._job(run_id)
        job.record.fail("the worker met an unexpected error; its log has the details")
        job.tidy()

    def _job(self, run_id: str) -> TrainingJob:
        return TrainingJob(self._ground, self._cases, self._models, self._promotions, run_id)


def _is_outage(error: BaseException) -> bool:
    return isinstance(error, SQLAlchemyError)


def run_worker(settings: Settings) -> None:
    """Be a worker until SIGTERM or Ctrl-C."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    stop = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # an embedded worker leaves Ctrl-C to its server
        signal.signal(signal.SIGINT, end)
    worker = Worker(settings)
    worker.run(stop)
    # A training that runs is a process of its own and ends with this one; waiting for its thread would take an epoch.
    logging.shutdown()
    os._exit(0)
