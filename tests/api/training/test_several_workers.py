"""Several workers on one database: what one leaves behind another finishes, and nobody does a thing twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from api.ground.migrate import upgrade
from api.models.tables import ModelRow
from api.promotion.tables import DecisionRow
from api.services import Services, build
from api.settings import Settings
from api.training.heartbeat import Heartbeat
from api.training.record import RunRecord
from api.training.schemas import TrainingRunIn
from api.training.tables import TrainingRunRow, WorkerRow
from clinical_mm.phantom import draw

pytestmark = pytest.mark.slow
LIGHT: dict[str, Any] = {
    "modalities": {
        "text": {"model": "minilm", "max_tokens": 64, "stride": 16, "layers": 1, "learns": "nothing"},
        "vitals": {"width": 16},
    },
    "alignment.epochs": 0,
    "training.judged_cases": 0,
}
ENDLESS = {**LIGHT, "training.epochs": 100_000, "training.patience": 100_000}


@pytest.fixture
def services(tmp_path: Path, empty_database_url: str) -> Iterator[Services]:
    """Cases to learn from, on either database."""
    settings = Settings(workspace=tmp_path / "workspace", database_url=empty_database_url, _env_file=None)  # type: ignore[call-arg]
    upgrade(settings)
    built = build(settings)
    for n, drawn in enumerate(draw(40, 3)):
        built.cases.submit_case(built.access.operator("default"), replace(drawn.case, external_id=f"acc-{n}"))
    yield built
    built.close()


@pytest.fixture
def start(services: Services) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a worker by its name; what is left at the end is killed."""
    begun: list[subprocess.Popen[str]] = []

    def started(name: str = "") -> subprocess.Popen[str]:
        settings = services.ground.settings
        environment = {
            **os.environ,
            "CLINICAL_MM_WORKSPACE": str(settings.workspace),
            "CLINICAL_MM_DATABASE_URL": settings.database_url,
            "CLINICAL_MM_WORKER_ID": name,
        }
        command = [sys.executable, "-m", "api.cli", "worker"]
        begun.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
        return begun[-1]

    yield started
    for process in begun:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.wait()


def queue(services: Services, changes: dict[str, Any]) -> str:
    wanted = TrainingRunIn(config="small", set=changes)
    return services.training.start(services.access.operator("default"), wanted).id


def until(what: Callable[[], Any], seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.1)
    raise TimeoutError(what)


def row(services: Services, run_id: str) -> TrainingRunRow:
    return RunRecord(services.ground, run_id).read()


def trains(services: Services, run_id: str) -> str | None:
    """The token of the worker that trains the run, once it does."""
    now = row(services, run_id)
    assert now.state in {"queued", "running"}, now.error
    return now.worker if (now.progress or {}).get("epoch", 0) >= 2 else None


def name_of(services: Services, token: str) -> str:
    with services.ground.database.reading() as session:
        return str(session.scalar(select(WorkerRow.id).where(WorkerRow.token == token)))


def count(services: Services, table: Any, run_id: str) -> int:
    with services.ground.database.reading() as session:
        return int(session.scalar(select(func.count()).where(table.run_id == run_id)) or 0)


def test_a_dead_workers_run_is_finished_by_another_at_its_last_epoch(
    services: Services, start: Callable[..., subprocess.Popen[str]]
) -> None:
    run = queue(services, {**LIGHT, "training.epochs": 150, "training.patience": 150})
    workers = {name: start(name) for name in ("one", "two")}
    owner = name_of(services, until(lambda: trains(services, run)))
    reached = row(services, run).progress["epoch"]  # type: ignore[index]
    workers[owner].kill()
    until(lambda: row(services, run).state == "succeeded", 420)
    assert owner not in until(lambda: row(services, run).worker or "")
    history = services.models.of_run(services.access.operator("default"), run).metrics["history"]
    assert [step["epoch"] for step in history] == list(range(1, 151)), "no epoch is lost, none is done twice"
    assert reached >= 2
    assert count(services, ModelRow, run) == 1
    assert count(services, DecisionRow, run) <= 1


def test_a_worker_that_was_only_thought_dead_ends_and_changes_nothing(
    services: Services, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """A machine that stood still for a while: its training process went on meanwhile, and holds the run's folder."""
    run = queue(services, ENDLESS)
    workers = {name: start(name) for name in ("one", "two")}
    token = until(lambda: trains(services, run))
    sleeper = workers[name_of(services, token)]
    sleeper.send_signal(signal.SIGSTOP)
    other = until(lambda: (now := row(services, run).worker) != token and now)
    sleeper.send_signal(signal.SIGCONT)
    assert sleeper.wait(timeout=30) == os.EX_TEMPFAIL
    assert "Superseded" in (sleeper.stderr.read() if sleeper.stderr else "")
    before = row(services, run).progress["epoch"]  # type: ignore[index]
    until(lambda: (row(services, run).progress or {}).get("epoch", 0) > before)
    assert (row(services, run).state, row(services, run).worker) == ("running", other)
    services.training.cancel(services.access.operator("default"), run)
    until(lambda: row(services, run).state == "cancelled", 30)


def test_two_workers_of_one_workspace_have_names_of_their_own_and_keep_them(services: Services) -> None:
    one, two = Heartbeat(services.ground), Heartbeat(services.ground)
    assert one.worker_id != two.worker_id
    one.end()
    again = Heartbeat(services.ground)
    assert again.worker_id == one.worker_id
    again.end()
    two.end()


def test_a_second_worker_of_the_same_name_is_refused_and_told_why(
    services: Services, start: Callable[..., subprocess.Popen[str]]
) -> None:
    first = start("gpu")
    until(lambda: count_workers(services))
    second = start("gpu")
    _, said = second.communicate(timeout=90)
    assert second.returncode == 1
    assert "another worker named 'gpu' is at work" in said
    assert "CLINICAL_MM_WORKER_ID" in said
    assert first.poll() is None


def count_workers(services: Services) -> int:
    with services.ground.database.reading() as session:
        return int(session.scalar(select(func.count()).select_from(WorkerRow)) or 0)
