"""Files decoded in processes of their own, so that one that crashes a codec, or never ends, takes nothing with it."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from clinical_mm.errors import DecoderUnavailable, UnreadableFile, UnsupportedFile
from clinical_mm.limits import MB, Limits
from clinical_mm.pictures.inspection import Findings

FILES_EACH = 2_000
"""So many files and a decoder is replaced, so that what codecs leak does not add up."""
START_S, WAIT_S = 60.0, 30.0
_LONGEST_ANSWER = 8 * MB


class Decoders:
    """At most ``count`` decoder processes; each is started when it is first needed and serves one file at a time."""

    def __init__(self, limits: Limits, count: int) -> None:
        self._limits = limits
        self._free = threading.BoundedSemaphore(count)
        self._idle: list[_Decoder] = []
        os.register_at_fork(after_in_child=self._idle.clear)  # those are the parent's

    def inspect(self, path: Path) -> Findings:
        """What ``inspection.inspect`` says of a file, within the limits of memory and time.

        Raises:
            UnsupportedFile, UnreadableFile: as it says, or because the file ended its decoder or took too long.
            DecoderUnavailable: all decoders stay busy, or none starts.
        """
        if not self._free.acquire(timeout=WAIT_S):
            raise DecoderUnavailable("every decoder is busy; try again")
        try:
            decoder = self._idle_or_new()
            try:
                return decoder.inspect(path, self._limits.seconds + path.stat().st_size / MB)
            finally:
                self._put_back(decoder)
        finally:
            self._free.release()

    def warm_up(self) -> None:
        """Start one ahead of the first file; it gets ready by itself."""
        self._idle.append(_Decoder(self._limits))

    def close(self) -> None:
        """End those that are idle."""
        while self._idle:
            self._idle.pop().end()

    def _put_back(self, decoder: _Decoder) -> None:
        if not decoder.lives:
            decoder.end()
        elif decoder.files < FILES_EACH:
            self._idle.append(decoder)
        else:
            decoder.end()
            self._idle.insert(0, _Decoder(self._limits))  # behind the others, so that it is ready when its turn comes

    def _idle_or_new(self) -> _Decoder:
        while True:
            try:
                decoder = self._idle.pop()
            except IndexError:
                return _Decoder(self._limits)
            if decoder.lives:
                return decoder
            decoder.end()


@cache
def decoders_of(limits: Limits, count: int) -> Decoders:
    """Those of this process: they belong to no service, so that building one anew starts none anew."""
    decoders = Decoders(limits, count)
    atexit.register(decoders.close)
    return decoders


class _Decoder:
    """One process and the pipes to it."""

    def __init__(self, limits: Limits) -> None:
        self.files = 0
        self._is_ready = False
        lifeline, self._lifeline = os.pipe()  # the child's end, and ours, which closes when this process ends
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own module, no words of a caller
                [sys.executable, "-m", "clinical_mm.pictures.decoder", json.dumps(asdict(limits)), str(lifeline)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # codecs quote what they read, and that can be a patient's
                pass_fds=(lifeline,),
                env=_environment(),
            )
        finally:
            os.close(lifeline)

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    def inspect(self, path: Path, seconds: float) -> Findings:
        if not self._is_ready:
            self._wait_until_ready()
        self.files += 1
        answer = self._ask({"path": str(path.resolve()), "seconds": seconds}, seconds)
        if "findings" in answer:
            return Findings(**answer["findings"])
        raise (UnsupportedFile if answer["refused"] == "unsupported" else UnreadableFile)(answer["reason"])

    def end(self) -> None:
        self._kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        os.close(self._lifeline)

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()  # until then it seems to live

    def _wait_until_ready(self) -> None:
        line = self._line(START_S)
        if not line:
            self._kill()
            raise DecoderUnavailable("no process to decode files in starts on this machine")
        self._is_ready = True

    def _ask(self, question: dict[str, Any], seconds: float) -> dict[str, Any]:
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        with contextlib.suppress(BrokenPipeError):  # its end is seen when it does not answer
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()
        line = self._line(seconds)
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        if line is None:
            self._kill()
            raise UnreadableFile(f"decoding it takes more than {seconds:.0f} seconds")
        raise UnreadableFile(self._last_words(self._process.wait(), seconds))

    def _line(self, seconds: float) -> bytes | None:
        """The next line of the process; empty where it ended, None where it takes longer."""
        assert self._process.stdout is not None  # noqa: S101 - it was asked for
        descriptor, until = self._process.stdout.fileno(), time.monotonic() + seconds
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        parts = bytearray()
        while not parts.endswith(b"\n") and len(parts) < _LONGEST_ANSWER:
            left = until - time.monotonic()
            if left <= 0 or not waiting.poll(left * 1000):
                return None
            piece = os.read(descriptor, 65536)
            if not piece:
                return b""
            parts += piece
        return bytes(parts)

    @staticmethod
    def _last_words(status: int, seconds: float) -> str:
        if -status == signal.SIGXCPU:
            return f"decoding it takes more than {seconds:.0f} seconds"
        name = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        return f"decoding it ended the decoder ({name})"


def _environment() -> dict[str, str]:
    """What Python needs to start, and nothing that is secret: settings can hold passwords."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**kept, **one_thread, "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)}  # noqa: PTH109
