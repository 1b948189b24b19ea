"""A process that does nothing but decode: ``python -m clinical_mm.pictures.decoder LIMITS LIFELINE``.

Reads one JSON line for each file, ``{"path", "seconds"}``, and answers one: ``{"findings"}`` or ``{"refused",
"reason"}``. JSON and not a pickle, so that nothing which a file does to this process can run in the one that asks.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import resource
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from clinical_mm.errors import UnreadableFile, UnsupportedFile
from clinical_mm.limits import MB, Limits
from clinical_mm.pictures.inspection import inspect


def main() -> None:
    """Answer until the questions end."""
    limits, lifeline = Limits(**json.loads(sys.argv[1])), int(sys.argv[2])
    answers = _private_answers()
    _end_with_parent(lifeline)
    _bound_memory(limits)
    _tell(answers, {"ready": True})
    for line in sys.stdin.buffer:
        _tell(answers, _answer(json.loads(line), limits))


def _answer(asked: dict[str, Any], limits: Limits) -> dict[str, Any]:
    _bound_seconds(asked["seconds"])
    try:
        found = {"findings": asdict(inspect(Path(asked["path"]).read_bytes(), limits))}
        json.dumps(found, allow_nan=False)
    except UnsupportedFile as error:
        return {"refused": "unsupported", "reason": str(error)}
    except UnreadableFile as error:
        return {"refused": "unreadable", "reason": str(error)}
    except MemoryError:
        return {"refused": "unreadable", "reason": f"decoding it takes more than {limits.memory_mb:,} MB of memory"}
    except ValueError:
        return {"refused": "unreadable", "reason": "it holds values that are no numbers"}
    return found


def _tell(answers: BinaryIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


def _private_answers() -> BinaryIO:
    """The pipe to the parent, out of reach of codecs that print."""
    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return answers


def _end_with_parent(lifeline: int) -> None:
    """Die when the parent's end of the lifeline closes, whatever code runs here: the kernel sends the signal."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC | os.O_NONBLOCK)
    try:
        if os.read(lifeline, 1) == b"":
            sys.exit(0)  # it was closed before the signal was asked for
    except BlockingIOError:
        return


def _bound_memory(limits: Limits) -> None:
    statm = Path("/proc/self/statm")  # Linux; elsewhere the kernel enforces no such bound
    if statm.exists():
        used = int(statm.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        most = used + limits.memory_mb * MB
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump would hold a patient's picture
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _bound_seconds(seconds: float) -> None:
    spent = resource.getrusage(resource.RUSAGE_SELF)
    most = math.ceil(spent.ru_utime + spent.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
