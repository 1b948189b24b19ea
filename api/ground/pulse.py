"""Whether something that others keep - the database, the object store - answers; asked several times a second.

What is stopped or cut off refuses nothing: it says nothing, and drivers wait for minutes. So a thread asks all the
time. Where no answer came for ``SILENT_S``, it is away: new work is refused at the door, and whoever waits is let go,
until it answers again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)
EVERY_S = 0.25
SILENT_S = 1.0
"""A request then waits less than two seconds in all; what takes longer for one row cannot serve anybody either."""
LOOK_S = 0.1


class Pulse:
    """``ask`` raises, or does not return, while the thing is away; ``silent`` lets go of whoever waits."""

    def __init__(
        self,
        name: str,
        ask: Callable[[], object],
        faults: tuple[type[Exception], ...],
        silent: Callable[[], None] = lambda: None,
    ) -> None:
        self._name, self._ask, self._faults, self._silent = name, ask, faults, silent
        self._asked_at: float | None = None
        self._away = False
        self._stop = threading.Event()

    @property
    def is_away(self) -> bool:
        """Whether it does not answer at present."""
        return self._away

    def start(self) -> None:
        """Ask from now on; after the fork, since threads do not survive one."""
        for work in (self._keep_asking, self._keep_looking):
            threading.Thread(target=work, name=f"pulse of the {self._name}", daemon=True).start()

    def stop(self) -> None:
        """Ask no more."""
        self._stop.set()

    def _keep_asking(self) -> None:
        while not self._stop.is_set():
            self._asked_at = time.monotonic()
            try:
                self._ask()
            except self._faults as error:
                self._mark(True, type(error).__name__)
            else:
                self._mark(False)
            self._asked_at = None
            self._stop.wait(EVERY_S)

    def _keep_looking(self) -> None:
        while not self._stop.is_set():
            before = time.monotonic()
            self._stop.wait(LOOK_S)
            if time.monotonic() - before > 3 * LOOK_S:  # this process stood still itself: it judges nobody
                self._asked_at = self._asked_at and time.monotonic()
            asked_at = self._asked_at
            if asked_at is not None and time.monotonic() - asked_at > SILENT_S:
                self._mark(True, "silence")
                self._silent()  # again and again: someone may have begun to wait just before the mark

    def _mark(self, away: bool, why: str = "") -> None:
        if away != self._away:
            if away:
                log.error("the %s does not answer: %s", self._name, why)
            else:
                log.warning("the %s answers again", self._name)
            self._away = away
