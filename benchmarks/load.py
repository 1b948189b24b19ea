"""Load: mixed traffic against a real server with PostgreSQL; errors, times by kind, memory of every process.

``LOAD_MINUTES`` (30), ``LOAD_RATE`` (calls a second, 8), ``LOAD_CLIENTS`` (32), ``LOAD_PROCESSES`` (2). The machine
also draws the cases and is the clients, so times are those of a busy machine.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import psutil
import psycopg
from scipy import stats

from benchmarks.storm import MIX, Clients, Heard
from torture.postgresql import postgresql

TITLE = "Load: 32 clients, mixed traffic, PostgreSQL"
WARM = 0.2
"""The first part of a run does not count for the slope of memory: caches and allocators fill."""


@dataclass
class Memory:
    """Resident memory of one process over time."""

    name: str
    at_s: list[float] = field(default_factory=list)
    mib: list[float] = field(default_factory=list)

    def slope(self) -> tuple[float, float] | None:
        """MiB an hour after warming up, and half its 95 % interval (least squares); None for too few values."""
        begin = WARM * max(self.at_s)
        kept = [(t / 3600, m) for t, m in zip(self.at_s, self.mib, strict=True) if t >= begin]
        if len(kept) < 4:
            return None
        hours, mib = np.array(kept).T
        if np.ptp(mib) == 0:
            return 0.0, 0.0  # the fit of a constant has no interval
        fit = stats.linregress(hours, mib)
        return float(fit.slope), float(fit.stderr * stats.t.ppf(0.975, len(kept) - 2))


@dataclass
class Report:
    """What a run told."""

    seconds: float
    rate: float
    heard: dict[str, Heard]
    memory: list[Memory]
    late_s: float
    database_mib: tuple[float, float]
    command: str

    @property
    def errors(self) -> list[str]:
        """Every call that was not answered, or not rightly."""
        return [error for one in self.heard.values() for error in one.errors]

    def table(self) -> str:
        """As markdown."""
        calls = sum(len(one.seconds) for one in self.heard.values())
        head = (
            f"`{self.command}` on PostgreSQL, {self.seconds / 60:.1f} minutes, {calls} calls due at random moments, "
            f"{self.rate:g} a second (open loop: times run from when a call was due). Each answer is checked."
        )
        rows = [_row(kind, one) for kind, one in self.heard.items()]
        rows.append(_row("all", _together(self.heard.values())))
        told = [
            f"- errors: {len(self.errors)}; latest that a call began after it was due: {self.late_s:.2f} s",
            f"- database: {self.database_mib[0]:.1f} MiB before, {self.database_mib[1]:.1f} MiB after",
            *(f"- error: {error}" for error in self.errors[:10]),
        ]
        memory = [_memory_row(one) for one in self.memory]
        calls_head = [
            "| call | calls | errors | 429, then answered | p50 ms | p95 ms | p99 ms |",
            "|---|---|---|---|---|---|---|",
        ]
        memory_head = [
            "| process | MiB at the start | each tenth | MiB at the end | MiB an hour |",
            "|---|---|---|---|---|",
        ]
        return "\n".join([head, "", *calls_head, *rows, "", *told, "", *memory_head, *memory])


def run() -> str:
    minutes, rate = float(os.environ.get("LOAD_MINUTES", "30")), float(os.environ.get("LOAD_RATE", "8"))
    clients, processes = int(os.environ.get("LOAD_CLIENTS", "32")), int(os.environ.get("LOAD_PROCESSES", "2"))
    with tempfile.TemporaryDirectory() as folder, postgresql() as server:
        workspace, url = Path(folder) / "workspace", server.url
        _command(workspace, url, "demo", "--cases", "80", "--no-serve")
        report = measure(workspace, url, seconds=minutes * 60, rate=rate, clients=clients, processes=processes)
    return report.table()


def measure(workspace: Path, url: str, *, seconds: float, rate: float, clients: int, processes: int = 1) -> Report:
    """Serve a workspace in which a model serves, and send traffic to it."""
    admin = _command(workspace, url, "keys", "create", "--role", "admin").splitlines()[-1]
    with _served(workspace, url, processes) as (address, process, command):
        made = Clients(address, [_new_key(address, admin, n) for n in range(clients)])
        try:
            made.begin()
            before, watch = _size_mib(url), Watch(process, every_s=min(15.0, seconds / 40))
            with watch:
                made.storm(seconds, rate)
            return Report(seconds, rate, made.heard, watch.told(), made.late, (before, _size_mib(url)), command)
        finally:
            made.close()


class Watch:
    """Notes the memory of a server's processes, each by itself, until it is left."""

    def __init__(self, process: psutil.Process, every_s: float) -> None:
        self._process, self._every_s = process, every_s
        self._seen: dict[int, Memory] = {}
        self._stop, self._began = threading.Event(), time.monotonic()
        self._thread = threading.Thread(target=self._keep_looking, name="memory", daemon=True)

    def __enter__(self) -> Watch:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._look()

    def told(self) -> list[Memory]:
        """A process each, the oldest first."""
        return list(self._seen.values())

    def _keep_looking(self) -> None:
        while not self._stop.wait(self._every_s):
            self._look()

    def _look(self) -> None:
        for one in [self._process, *self._process.children(recursive=True)]:
            try:
                mib, memory = one.memory_info().rss / 2**20, self._seen.get(one.pid)
                if memory is None:
                    memory = self._seen[one.pid] = Memory(self._name(one))
            except psutil.NoSuchProcess:
                continue
            memory.at_s.append(time.monotonic() - self._began)
            memory.mib.append(mib)

    def _name(self, one: psutil.Process) -> str:
        if one.pid == self._process.pid:
            return "server (parent)"
        command = one.cmdline()
        kind = (
            "decoder" if "clinical_mm.pictures.decoder" in command else "job worker" if "worker" in command else "web"
        )
        return f"{kind} {one.pid}"


@contextmanager
def _served(workspace: Path, url: str, processes: int) -> Iterator[tuple[str, psutil.Process, str]]:
    """Its address, its process, and the command as it was given; several processes where the command knows them."""
    arguments = ["serve", "--port", "0", "--threads", "16"]
    if "--processes" in _command(workspace, url, "serve", "--help"):
        arguments += ["--processes", str(processes)]
    command = [sys.executable, "-m", "api.cli", *arguments]
    process = subprocess.Popen(command, env=_environment(workspace, url), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = next(found.group() for line in process.stdout if (found := re.search(r"http://127\S+", line)))
        _until_ready(address)
        yield address, psutil.Process(process.pid), f"clinical-mm {' '.join(arguments)}"
    finally:
        process.terminate()
        process.wait(timeout=60)


def _until_ready(address: str, seconds: float = 600) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if httpx.get(f"{address}/readyz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:  # it listens before its web processes have begun
            continue
        time.sleep(0.2)
    raise TimeoutError(f"{address} is not ready")


def _new_key(address: str, admin: str, number: int) -> str:
    body, headers = {"role": "trainer", "name": f"client {number}"}, {"Authorization": f"Bearer {admin}"}
    made = httpx.post(f"{address}/v1/keys", json=body, headers=headers, timeout=60).raise_for_status()
    return str(made.json()["secret"])


def _command(workspace: Path, url: str, *arguments: str) -> str:
    command = [sys.executable, "-m", "api.cli", *arguments]
    done = subprocess.run(command, env=_environment(workspace, url), check=True, capture_output=True, text=True)
    return done.stdout


def _environment(workspace: Path, url: str) -> dict[str, str]:
    return {**os.environ, "CLINICAL_MM_WORKSPACE": str(workspace), "CLINICAL_MM_DATABASE_URL": url}


def _size_mib(url: str) -> float:
    with psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://", 1)) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        assert row is not None
        return float(row[0]) / 2**20


def _together(heard: object) -> Heard:
    whole = Heard()
    for one in heard:  # type: ignore[attr-defined]
        whole.seconds += one.seconds
        whole.errors += one.errors
        whole.pushed_back += one.pushed_back
    return whole


def _row(kind: str, one: Heard) -> str:
    share = f" ({MIX[kind]} %)" if kind in MIX else ""
    times = np.percentile(one.seconds, [50, 95, 99]) * 1000 if one.seconds else [float("nan")] * 3
    told = " | ".join(f"{value:.0f}" for value in times)
    return f"| {kind}{share} | {len(one.seconds)} | {len(one.errors)} | {one.pushed_back} | {told} |"


def _memory_row(one: Memory) -> str:
    tenths = [one.mib[round(n * (len(one.mib) - 1) / 10)] for n in range(1, 10)] if len(one.mib) > 10 else one.mib
    slope = one.slope()
    told = (
        "too few values"
        if slope is None
        else f"{slope[0]:+.1f} [{slope[0] - slope[1]:+.1f}, {slope[0] + slope[1]:+.1f}]"
    )
    return f"| {one.name} | {one.mib[0]:.0f} | {' '.join(f'{m:.0f}' for m in tenths)} | {one.mib[-1]:.0f} | {told} |"


if __name__ == "__main__":
    print(run())
