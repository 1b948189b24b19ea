"""Where shadows score: in a process of its own, one at a time, kept by the job worker, and nice to all others.

A shadow that crashes or eats all memory takes neither the server nor the worker along.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from api.shadows.scoring import Scoring

log = logging.getLogger(__name__)
POLL_S, ENDING_S = 2.0, 3.0
FIRST_REST_S, LONGEST_REST_S = 5.0, 300.0
STOPPED = {0, 143, -signal.SIGTERM, -signal.SIGINT}
"""It ended by itself, with its parent, or was told to."""


class Keeper:
    """Starts the scoring process where predictions wait; one that failed rests, twice as long each time."""

    def __init__(self, scoring: Scoring) -> None:
        self._scoring = scoring
        self._process: subprocess.Popen[bytes] | None = None
        self._shadow = ""
        self._look_at = 0.0
        self._rests: dict[str, tuple[float, float]] = {}

    def tick(self) -> None:
        """To be called often: looks after the process, and whether one is needed."""
        moment = time.monotonic()
        if moment < self._look_at:
            return
        self._look_at = moment + POLL_S
        if self._process is not None and self._process.poll() is not None:
            status, self._process = self._process.returncode, None
            self._judge(status)
        if self._process is None:
            self._start(self._next(self._scoring.due()))

    def close(self) -> None:
        """End the process; what it has not scored is scored after the next start."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=ENDING_S)
            except subprocess.TimeoutExpired:
                self._process.kill()

    def _next(self, due: Sequence[str]) -> str | None:
        """In turn: the one after that of the last time."""
        moment = time.monotonic()
        able = sorted(one for one in due if self._rests.get(one, (0.0, 0.0))[0] <= moment)
        return next((one for one in able if one > self._shadow), able[0] if able else None)

    def _start(self, shadow: str | None) -> None:
        if shadow is None:
            return
        self._shadow = shadow  # even where another worker is quicker: then the next one's turn comes
        if not self._scoring.claim(shadow):
            return
        command = [sys.executable, "-m", "api.shadows", "--shadow", shadow, "--with-parent", str(os.getpid())]
        # One thread: many that spin would slow the server's down. The worker's name: it may be in no setting.
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "CLINICAL_MM_WORKER_ID": self._scoring.worker_id}
        try:
            self._process = subprocess.Popen(command, env=environment)  # noqa: S603 - no words of a caller
        except OSError as error:
            log.warning("no process for shadow %s: %s", shadow, error)
            self._rest(shadow)

    def _judge(self, status: int) -> None:
        if status in STOPPED:
            self._rests.pop(self._shadow, None)
            return
        log.warning("shadow %s: its process ended with %s; another attempt comes later", self._shadow, status)
        self._rest(self._shadow)
        if status < 0:
            self._scoring.note(self._shadow, f"its process was ended by signal {-status} (out of memory?)")

    def _rest(self, shadow: str) -> None:
        length = min(LONGEST_REST_S, 2 * self._rests.get(shadow, (0.0, FIRST_REST_S / 2))[1])
        self._rests[shadow] = (time.monotonic() + length, length)
