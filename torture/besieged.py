"""A real server under siege: started, asked whether it is well, measured, stopped."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import httpx
import psutil

from benchmarks.workspace import environment

MB = 2**20


class Besieged:
    """``clinical-mm serve`` in a process of its own; ``inside`` is a command that it is started by."""

    def __init__(
        self, workspace: Path, threads: int = 8, settings: Mapping[str, str] | None = None, inside: Sequence[str] = ()
    ) -> None:
        self.workspace = workspace
        self.environment = {**environment(workspace), **(settings or {})}
        self._command = [*inside, sys.executable, "-m", "api.cli", "serve", "--port", "0", "--threads", str(threads)]

    def __enter__(self) -> Self:
        self._log = self.workspace.with_suffix(".log").open("w+", encoding="utf-8")
        self._process = subprocess.Popen(
            self._command, env=self.environment, stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if found := re.search(r"http://\S+", line):
                self.url = found.group()
                return self
        raise RuntimeError(f"the server ended with {self._process.wait()}")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=120)
        self._log.close()

    def complaints(self) -> list[str]:
        """What the server logged that no client should be able to make it log: its own errors."""
        self._log.seek(0)
        return [line.strip() for line in self._log if "Traceback" in line or "unexpected error" in line]

    def key(self, role: str) -> str:
        """A new key of that role."""
        command = [sys.executable, "-m", "api.cli", "keys", "create", "--role", role]
        made = subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True)
        return made.stdout.splitlines()[-1]

    def client(self, key: str) -> httpx.Client:
        """A client with that key; paths are below /v1."""
        return httpx.Client(base_url=f"{self.url}/v1", headers={"Authorization": f"Bearer {key}"}, timeout=60)

    @property
    def pid(self) -> int:
        """Of the process that was started."""
        return self._process.pid

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rsplit(":", 1)[1])

    def processes(self) -> list[psutil.Process]:
        """The server and all that it started."""
        server = psutil.Process(self._process.pid)
        return [server, *server.children(recursive=True)]

    def resident_mb(self, *, lasting: bool = False) -> float:
        """Memory that the process tree holds for itself; ``lasting``: without decoders, which are replaced."""
        total = 0
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                if not (lasting and "clinical_mm.pictures.decoder" in process.cmdline()):
                    total += process.memory_full_info().uss
        return total / MB


class Peak:
    """The most memory that a process tree held beyond what it held at the start, sampled every few milliseconds."""

    def __init__(self, server: Besieged) -> None:
        self._server, self._over = server, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.more_mb = 0.0

    def __enter__(self) -> Self:
        self._first = self._resident()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.005):
            self.more_mb = max(self.more_mb, self._resident() - self._first)

    def _resident(self) -> float:
        total = 0
        for process in self._server.processes():
            with suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
        return total / MB


class Health:
    """Asks /healthz ten times a second, each time on a new connection, and keeps how long the answers took."""

    def __init__(self, server: Besieged) -> None:
        self._url, self._over = f"{server.url}/healthz", threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self.seconds: list[float] = []
        self.failed = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._over.wait(0.1):
            started = time.perf_counter()
            try:
                ok = httpx.get(self._url, timeout=30).status_code == 200
            except httpx.TransportError:
                ok = False
            self.failed += not ok
            self.seconds.append(time.perf_counter() - started)

    @property
    def p99(self) -> float:
        """The time that all but a hundredth of the answers took, in seconds."""
        ordered = sorted(self.seconds)
        return ordered[int(len(ordered) * 0.99)] if ordered else float("inf")


def is_problem(answer: httpx.Response) -> bool:
    """A refusal as RFC 9457 has it."""
    return 400 <= answer.status_code < 500 and answer.headers.get("Content-Type") == "application/problem+json"


def real_dicom() -> list[bytes]:
    """The real DICOM files beside the checkout where they are, and those that pydicom brings for its tests."""
    import pydicom.data

    beside = Path(__file__).parents[2] / "shared" / "data"
    shared = Path(os.environ.get("CLINICAL_MM_TEST_DATA", beside)) / "dicom"
    theirs = Path(pydicom.data.__file__).parent / "test_files"
    found = [p for folder in (shared, theirs) if folder.is_dir() for p in sorted(folder.rglob("*")) if p.is_file()]
    return [
        data for p in found if len(data := p.read_bytes()) > 400 and (data[128:132] == b"DICM" or p.suffix == ".dcm")
    ]
