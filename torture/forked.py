"""``serve`` without the seconds of importing: forked from a process that has imported everything, else as it is.

``python -m torture.forked THREADS`` reads a port a line and prints the process id of the server it started there.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Self

import httpx

from tests.whole.server import environment, free_port


class ForkedServers:
    """One server after another on the same workspace."""

    def __init__(self, workspace: Path, extra: Mapping[str, str], threads: int = 8) -> None:
        self.url, self.pid = "", 0
        self._log = (workspace.parent / f"{workspace.name}.log").open("ab")
        command = [sys.executable, "-m", "torture.forked", str(threads)]
        self._mother = Popen(
            command, env=environment(workspace, extra), stdin=PIPE, stdout=PIPE, stderr=self._log, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._mother.stdin is not None
        self._mother.stdin.close()
        self._mother.wait(timeout=30)
        self._log.close()

    def start(self, seconds: float = 60) -> None:
        """Start one, and wait until it answers."""
        assert self._mother.stdin is not None
        assert self._mother.stdout is not None
        port = free_port()
        self._mother.stdin.write(f"{port}\n")
        self._mother.stdin.flush()
        self.url, self.pid = f"http://127.0.0.1:{port}", int(self._mother.stdout.readline())
        deadline = time.monotonic() + seconds
        while True:
            try:
                httpx.get(f"{self.url}/healthz", timeout=5).raise_for_status()
            except httpx.HTTPError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """``kill -9`` of its whole process group, as a power cut would."""
        os.killpg(self.pid, 9)

    def stop(self) -> None:
        """SIGTERM, and wait until nobody listens."""
        os.kill(self.pid, 15)
        while True:
            try:
                httpx.get(f"{self.url}/healthz", timeout=5)
            except httpx.TransportError:
                return
            time.sleep(0.02)


def main(threads: int) -> None:
    import psycopg  # noqa: F401 - imported for the children
    import sqlalchemy.dialects.postgresql  # noqa: F401

    import api.app
    import api.ground.migrate
    import api.serve
    import clinical_mm.pictures  # noqa: F401
    from api.ground.scope import whole_process
    from api.settings import settings_from_environment

    whole_process("as the command line says it")
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os.setsid()
            os.dup2(2, 1)  # what it says of itself goes into the log
            api.serve.run(settings_from_environment(), host="127.0.0.1", port=int(line), threads=threads)
            os._exit(0)
        print(pid, flush=True)
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    main(int(sys.argv[1]))
