"""A run as it goes on: its changes as server-sent events, and the words of its training.

Source: WHATWG HTML, 9.2 Server-sent events.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from api.access.service import Caller
from api.ground.runs import ENDED
from api.training.schemas import TrainingRunOut
from api.training.service import Training
from clinical_mm.training.trackers.lines import METRICS, read_lines

POLL_S, HEARTBEAT_S = 0.5, 5.0
WATCHERS = 3
"""Streams of one process that stay open: each holds a thread of those that answer everybody."""
COME_BACK_MS = 3000
_open = threading.BoundedSemaphore(WATCHERS)
TAIL = 64 * 1024
"""Bytes of a log that are shown: its end tells what went wrong."""


def events(training: Training, caller: Caller, run_id: str) -> Iterator[str]:
    """A ``run`` event at once and at each change, until the run has ended; comments in between keep the line open.

    Where many watch already, the stream ends after its first event, and the browser asks again by itself.

    Raises:
        NotFound: no such run in the project; before anything is sent.
    """
    run = training.get(caller, run_id)

    def stream() -> Iterator[str]:
        if not _open.acquire(blocking=False):
            yield f"retry: {COME_BACK_MS}\n{_event(run)}"
            return
        try:
            yield from _changes(lambda: training.get(caller, run_id), run)
        finally:
            _open.release()

    return stream()


def _changes(read: Callable[[], TrainingRunOut], run: TrainingRunOut) -> Iterator[str]:
    told, quiet = "", time.monotonic()
    while True:
        said = _event(run)
        if said != told:
            told, quiet = said, time.monotonic()
            yield said
        elif time.monotonic() - quiet > HEARTBEAT_S:
            quiet = time.monotonic()
            yield ": still there\n\n"
        if run.state in ENDED:
            return
        time.sleep(POLL_S)
        run = read()


def _event(run: TrainingRunOut) -> str:
    return f"event: run\ndata: {json.dumps(run.model_dump(mode='json'))}\n\n"


def log_tail(training: Training, caller: Caller, run_id: str) -> str:
    """The end of a run's log; empty where it has not begun. Raises NotFound."""
    training.get(caller, run_id)
    path = _out(training, run_id) / "training.log"
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL))
        return file.read().decode("utf-8", errors="replace")


def measured(training: Training, caller: Caller, run_id: str) -> dict[str, dict[int, float]]:
    """What each epoch of a run measured: name -> epoch -> value; empty before the first one's end. Raises NotFound."""
    training.get(caller, run_id)
    return read_lines(_out(training, run_id) / METRICS)


def _out(training: Training, run_id: str) -> Path:
    return training.ground.settings.runs_folder / run_id / "out"
