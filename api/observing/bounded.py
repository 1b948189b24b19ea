"""Work that must not be waited for: a check that hangs may take a thread of its own with it, never its callers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Bounded(Generic[T]):
    """Runs ``work`` in a thread; callers share the run in hand, and its result for ``kept_s`` afterwards.

    One that hangs is not begun a second time, so that hanging checks do not pile up.
    """

    def __init__(self, name: str, work: Callable[[], T], kept_s: float) -> None:
        self.name = name
        self._work, self._kept_s = work, kept_s
        self._lock = threading.Lock()
        self._run: Future[T] | None = None
        self._ended = 0.0

    def begin(self) -> Future[T]:
        """The run in hand, the one just ended, or a new one."""
        with self._lock:
            if self._run is None or (self._run.done() and time.monotonic() - self._ended > self._kept_s):
                self._run = Future()
                threading.Thread(target=self._carry_out, args=[self._run], name=self.name, daemon=True).start()
            return self._run

    def within(self, seconds: float) -> T:
        """The result; raises TimeoutError where it takes longer, else what ``work`` raises."""
        return self.begin().result(timeout=seconds)

    def _carry_out(self, run: Future[T]) -> None:
        try:
            result = self._work()
        except BaseException as error:  # noqa: BLE001 - whoever waits gets it
            self._ended = time.monotonic()
            run.set_exception(error)
        else:
            self._ended = time.monotonic()
            run.set_result(result)
