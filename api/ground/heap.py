"""Memory that is free goes back to the machine: glibc by itself keeps what was once at work in each thread.

Eight threads that decode pictures hold 1 GB so after 6,000 files, and 0.3 GB with two arenas that are trimmed.
"""

from __future__ import annotations

import ctypes
import sys
import threading

EVERY_S = 10.0
ARENAS = 2
_M_ARENA_MAX = -8


def keep_small() -> None:
    """From now on, in this process (mallopt(3), malloc_trim(3)); nothing where the C library is another.

    To be called before other threads start: each would have an arena of its own by then.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if library is None or not hasattr(library, "malloc_trim"):
        return
    library.mallopt(_M_ARENA_MAX, ARENAS)

    def keep_on() -> None:
        pause = threading.Event()
        while not pause.wait(EVERY_S):
            library.malloc_trim(0)

    threading.Thread(target=keep_on, name="heap", daemon=True).start()
