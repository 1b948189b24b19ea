"""A real server process for tests: started, waited for, killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def clinical_mm(*arguments: str, workspace: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line as its user does; what it printed is in the result."""
    options.setdefault("timeout", 900)
    options.setdefault("check", True)
    return subprocess.run(  # noqa: PLW1510 - check stands in the options
        [sys.executable, "-m", "api.cli", *arguments],
        env=environment(workspace),
        capture_output=True,
        text=True,
        **options,
    )


def environment(workspace: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    return {**os.environ, "CLINICAL_MM_WORKSPACE": str(workspace), **(extra or {})}


class Server:
    """``clinical-mm serve``, or another command that serves, in its own process group."""

    def __init__(
        self, workspace: Path, extra: Mapping[str, str] | None = None, command: Sequence[str] = ("serve",)
    ) -> None:
        self.workspace, self.extra, self.command = workspace, extra or {}, command
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, seconds: float = 90) -> None:
        log = self._log.open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "api.cli", *self.command, "--port", str(self.port)],
            env=environment(self.workspace, self.extra),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with {self.process.returncode}; see {log.name}")
            try:
                if httpx.get(f"{self.url}/healthz", timeout=2).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.2)
        raise TimeoutError(f"no answer within {seconds} s; see {log.name}")

    @property
    def _log(self) -> Path:
        return self.workspace.parent / f"server-{self.port}.log"

    def printed(self) -> str:
        """What the process wrote to the terminal."""
        return self._log.read_text(encoding="utf-8")

    def stop(self) -> int:
        """SIGTERM, as an operator stops it; the exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(timeout=30)

    def kill(self) -> None:
        """``kill -9`` of the whole process tree, as a power cut would."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=10)

    def client(self, key: str) -> httpx.Client:
        return httpx.Client(base_url=f"{self.url}/v1", headers={"Authorization": f"Bearer {key}"}, timeout=120)


def create_key(workspace: Path, role: str) -> str:
    return clinical_mm("keys", "create", "--role", role, workspace=workspace).stdout.splitlines()[-1]


def wait_for_run(client: httpx.Client, location: str, seconds: float = 900) -> dict[str, Any]:
    """Follow a training run until it ends."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        run: dict[str, Any] = client.get(location.removeprefix("/v1")).raise_for_status().json()
        if run["state"] in {"succeeded", "failed", "cancelled"}:
            return run
        time.sleep(0.5)
    raise TimeoutError(f"{location} still {run['state']} after {seconds} s: {run['progress']}")
