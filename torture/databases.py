"""The databases that an ordeal is gone through on, each in a workspace of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from api.settings import Settings
from torture.postgresql import postgresql as postgresql_server


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
    with postgresql_server() as server, tempfile.TemporaryDirectory() as folder:
        yield Settings(workspace=Path(folder), database_url=server.url)
