"""The durable job engine (DBOS): workflows whose finished steps are never run again after a crash.

Only workers launch it. The service leaves a row in a table of its own in the same transaction as the rest of its work,
and the worker turns rows into workflows by their id: nothing is queued for work that was rolled back, and the web
process needs no engine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, SetWorkflowID
from sqlalchemy import Engine, create_engine, event

from api.ground.logs import adopt
from api.settings import Settings

QUEUE = "training"
BULK = "bulk"
"""A queue of its own: cases that come in do not wait until a training has ended."""
VERSION = "1"
"""Fixed: a workflow that was begun by an older release is resumed by a newer one."""


ACTIVE = frozenset({"ENQUEUED", "DELAYED", "PENDING"})


class JobEngine:
    """The engine of one worker process."""

    def __init__(self, settings: Settings, worker_id: str) -> None:
        self._engine = _engine(settings.jobs_url)
        config: DBOSConfig = {
            "name": "clinical-mm",
            "system_database_engine": self._engine,
            "executor_id": worker_id,
            "application_version": VERSION,
            "serializer": DBOSPortableJSONSerializer(),
            "log_level": "WARNING",
        }
        DBOS(config=config)
        adopt("dbos")

    def launch(self) -> None:
        """Start; what this worker had begun before it died goes on by itself."""
        DBOS.launch()
        for queue in (QUEUE, BULK):
            DBOS.register_queue(queue, worker_concurrency=1)

    @staticmethod
    def workflow(name: str, function: Callable[[str], None]) -> Callable[[str], None]:
        """Register a durable function of a run's id; before ``launch``."""
        registered: Callable[[str], None] = DBOS.workflow(name=name)(function)
        return registered

    @staticmethod
    def step(
        name: str, function: Callable[[str], Any], retry: Callable[[BaseException], bool] | None = None
    ) -> Callable[[str], Any]:
        """Register a step, before ``launch``; its result is kept, so it is not run again once it ended.

        What ``retry`` says yes to is tried again for about two minutes.
        """
        registered: Callable[[str], Any] = DBOS.step(
            name=name,
            retries_allowed=retry is not None,
            should_retry=retry,
            interval_seconds=2,
            backoff_rate=1.5,
            max_attempts=9,
        )(function)
        return registered

    def enqueue(self, workflow: Callable[[str], Any], run_id: str, queue: str = QUEUE) -> None:
        """Queue a workflow under its run's id; the second time nothing happens."""
        with SetWorkflowID(run_id):
            DBOS.enqueue_workflow(queue, workflow, run_id)

    @staticmethod
    def begun() -> dict[str, str]:
        """Runs whose workflows some worker has begun and not ended, with that worker's id."""
        found = DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)
        return {one.workflow_id: one.executor_id or "" for one in found}

    @staticmethod
    def take_over(run_id: str, queue: str = QUEUE) -> None:
        """Queue a workflow again that another worker had begun: it goes on at its last finished step."""
        DBOS.resume_workflow(run_id, queue_name=queue)

    @staticmethod
    def has_ended(run_id: str) -> bool:
        """Whether a run's workflow is over, one way or another; one that died too often is not resumed either."""
        found = DBOS.get_workflow_status(run_id)
        return found is not None and found.status not in ACTIVE

    def close(self) -> None:
        """Stop; what runs is taken up at the next start."""
        DBOS.destroy(workflow_completion_timeout_sec=0)
        self._engine.dispose()


def _engine(url: str) -> Engine:
    engine = create_engine(url, pool_pre_ping=True, hide_parameters=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _durable)
    return engine


def _durable(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
