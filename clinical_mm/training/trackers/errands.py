"""Calls that may fail or take their time, carried out aside: who sends one waits for nothing."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from queue import SimpleQueue

RETRY_S = 5.0
PATIENCE_S, IMPATIENCE_S = 30.0, 2.0
"""How long the end waits for what is left, where the other side answers, and where it does not."""

_log = logging.getLogger(__name__)


class Refused(Exception):
    """The other side will not take a call, however often it is tried."""


class Errands:
    """Carries calls out in order, in a thread of its own.

    One that fails is tried again until the end; one that is refused is left out. Either is told once, as a warning.
    """

    def __init__(self, whose: str) -> None:
        self._whose = whose
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._over = threading.Event()
        self._away = False
        self._told: set[str] = set()
        self._thread = threading.Thread(target=self._work, name=whose, daemon=True)
        self._thread.start()

    def put(self, errand: Callable[[], None]) -> None:
        """To be done when its turn comes."""
        self._queue.put(errand)

    def finish(self, patience_s: float | None = None) -> None:
        """Wait for what is left, but not for long."""
        patience_s = PATIENCE_S if patience_s is None else patience_s
        self._queue.put(None)
        self._thread.join(min(patience_s, IMPATIENCE_S) if self._away else patience_s)
        self._over.set()
        if self._thread.is_alive():
            self._tell("unfinished", "did not take everything in time: the rest is lost")

    def _work(self) -> None:
        while (errand := self._queue.get()) is not None:
            while not self._done(errand):
                if self._over.wait(RETRY_S):
                    return

    def _done(self, errand: Callable[[], None]) -> bool:
        try:
            errand()
        except Refused as error:
            self._tell("refused", f"refuses: {_line(error)}")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is not worth a training
            self._away = True
            self._tell("away", f"does not answer, the training goes on without: {type(error).__name__}: {_line(error)}")
            return False
        self._away = False
        return True

    def _tell(self, once: str, what: str) -> None:
        if once not in self._told:
            self._told.add(once)
            _log.warning("%s %s", self._whose, what)


def _line(error: Exception) -> str:
    """The first line of what it says, without the password that an address may hold."""
    said = str(error).strip().splitlines() or [""]
    return re.sub(r"//[^/@\s]*@", "//", said[0])[:300]
