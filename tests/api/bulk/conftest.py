"""A worker for bulk runs, in the test's own process."""

from __future__ import annotations

from typing import Any, Protocol

import pytest

from api.bulk.carrying_out import BulkJob
from api.bulk.tables import BulkRunRow
from api.training.record import Record


class Work(Protocol):
    """Carries out a run."""

    def __call__(self, run_id: str, stop_after: int | None = None) -> None: ...


@pytest.fixture
def work(services: Any) -> Work:
    """Carries out what waits, as a worker does; ``stop_after``: so many looks, as if it was killed then."""

    def carry_out(run_id: str, stop_after: int | None = None) -> None:
        record = Record(services.ground, BulkRunRow, run_id, "worker_1")
        job = BulkJob(services.ground, services.cases, services.predictions)
        if not record.begin():
            job.tidy(run_id)
            return
        looks = 0

        def watch(progress: dict[str, Any]) -> bool:
            nonlocal looks
            looks += 1
            if stop_after is not None and looks > stop_after:
                raise KeyboardInterrupt
            record.progress(progress)
            return record.mine().cancel_requested

        if job.carry_out(record.mine(), watch) == "succeeded":
            record.succeed()
        else:
            record.cancelled()
        job.tidy(run_id)

    return carry_out
