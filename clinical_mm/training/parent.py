"""Let a process end when the one that started it does, even by ``kill -9``: no training goes on unwatched."""

from __future__ import annotations

import os
import signal
import threading
import time

POLL_S = 0.25


def end_with_parent(parent: int) -> None:
    """From now on, watch the process ``parent`` that started this one; to be called on the main thread.

    The kernel gives a new parent to a process whose own is gone, be it before this call. Ctrl-C reaches a whole
    process group at once; here it is left to the parent.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_S)
        os._exit(143)

    threading.Thread(target=watch, name="parent", daemon=True).start()
