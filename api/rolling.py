"""Gunicorn's arbiter with two manners more: processes are replaced one by one, and it drains before it stops.

Gunicorn's own reload stops the old processes while the new ones still load their model, and closes its socket the
moment it is told to stop, when whoever sends it requests has not heard of that yet.
"""

from __future__ import annotations

import mmap
import os
import signal
import struct
import time
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer


class Readiness:
    """Which web processes have loaded their models: each says so through a pipe, the arbiter listens."""

    def __init__(self) -> None:
        self._hears, self._tells = os.pipe()
        os.set_blocking(self._hears, False)
        self._pids: set[int] = set()

    def tell(self) -> None:
        """In a web process: this one is ready."""
        os.write(self._tells, struct.pack("i", os.getpid()))

    def pids(self) -> set[int]:
        """In the arbiter: every process that ever said so."""
        try:
            while told := os.read(self._hears, 4 * 256):
                self._pids.update(pid for (pid,) in struct.iter_unpack("i", told))
        except BlockingIOError:
            pass
        return self._pids


class Draining:
    """Whether the server is about to stop: set by the arbiter, seen by every process forked from it."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 1)

    def begin(self) -> None:
        """From now on."""
        self._shared[0] = 1

    def __call__(self) -> bool:
        """Whether it has begun."""
        return self._shared[0] == 1


class RollingArbiter(Arbiter):  # type: ignore[misc] # gunicorn has no types
    """SIGHUP replaces each process by a fresh one that is ready; SIGTERM drains for ``drain_s``, then stops."""

    def __init__(self, app: Any, readiness: Readiness, draining: Draining, drain_s: float) -> None:
        self._readiness, self._draining, self._drain_s = readiness, draining, drain_s
        self._old: list[int] = []
        self._leaving: set[int] = set()
        self._stop_at: float | None = None
        super().__init__(app)

    def handle_term(self) -> None:
        """SIGTERM: not ready from now on, but answering all the same until the drain is over."""
        self._draining.begin()
        if self._drain_s == 0:
            raise StopIteration
        self._stop_at = self._stop_at or time.monotonic() + self._drain_s

    def reload(self) -> None:
        """SIGHUP: what serves now is old; ``manage_workers`` replaces it."""
        self._old = [pid for pid in self._by_age() if pid not in self._leaving]

    def manage_workers(self) -> None:
        """Called at least once a second: as many processes as wanted, one more while they are being replaced."""
        if self._stop_at is not None and time.monotonic() >= self._stop_at:
            raise StopIteration
        self._leaving &= set(self.WORKERS)
        staying = [pid for pid in self._by_age() if pid not in self._leaving]
        self._old = [pid for pid in self._old if pid in staying]
        if self._old and len(staying) > self.num_workers:
            if set(staying) - set(self._old) <= self._readiness.pids():
                self._let_go(self._old.pop(0))
        elif self._old:
            self.spawn_worker()
        else:
            for _ in range(self.num_workers - len(staying)):
                self.spawn_worker()
            for pid in staying[: max(0, len(staying) - self.num_workers)]:
                self._let_go(pid)

    def spawn_worker(self) -> Any:
        """A fresh process answers nobody before it is ready, where others serve meanwhile."""
        self.app.others_serve = bool(set(self.WORKERS) & self._readiness.pids())
        return super().spawn_worker()

    def reap_workers(self) -> None:
        """A fresh process that cannot start ends the replacing, not the service: the old ones go on."""
        try:
            super().reap_workers()
        except HaltServer as halt:
            if not self._old:
                raise
            self.log.error("%s The processes that serve stay as they are.", halt.reason)  # noqa: TRY400 - it told why
            self._old = []

    def _by_age(self) -> list[int]:
        return [pid for pid, _ in sorted(self.WORKERS.items(), key=lambda worker: worker[1].age)]

    def _let_go(self, pid: int) -> None:
        self._leaving.add(pid)
        self.kill_worker(pid, signal.SIGTERM)
