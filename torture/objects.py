"""A real S3 server of this machine, which can be frozen."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.whole.server import free_port

BUCKET = "cases"


def credentials(port: int) -> dict[str, str]:
    """An S3 server of this machine, as the cloud's own variables say it."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }


class ObjectStore:
    """An S3 server in a process of its own; what it holds lies in a folder and outlives a stop."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.port = folder, free_port()
        self.start()

    def start(self) -> None:
        """Start it, again at the same port, and wait until it answers."""
        command = [sys.executable, "-m", "localbucket", str(self._folder), "--port", str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{self.port}/", timeout=5)
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """It is gone, and its connections with it."""
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """It takes connections, and says nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        self._process.send_signal(signal.SIGCONT)


@contextmanager
def object_store() -> Iterator[ObjectStore]:
    """With one bucket."""
    with tempfile.TemporaryDirectory(prefix="cmm-objects-") as name:
        store = ObjectStore(Path(name))
        try:
            httpx.put(f"http://127.0.0.1:{store.port}/{BUCKET}", timeout=5).raise_for_status()
            yield store
        finally:
            store.stop()
