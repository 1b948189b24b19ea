"""Everything that is stored, so that two moments can be compared byte for byte."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import inspect, text

from api.ground.database import Database

JOURNALS = ("-wal", "-shm", ".lock")
TRAIL = {"audit_events", "audit_head"}
"""What tells of every call, the refused ones too, is no part of what was stored by one."""


@dataclass(frozen=True)
class Stored:
    """Where it lies."""

    database: Database
    blobs: Path


@dataclass(frozen=True)
class State:
    """Every row of every table, and every file of the blob folder with its hash."""

    rows: dict[str, list[str]]
    blobs: dict[str, str]


def state_of(stored: Stored) -> State:
    """Rows as text, files as SHA-256."""
    rows: dict[str, list[str]] = {}
    with stored.database.engine.connect() as connection:
        for table in sorted({*inspect(connection).get_table_names()} - TRAIL):
            rows[table] = sorted(repr(tuple(row)) for row in connection.execute(text(f'SELECT * FROM "{table}"')))
    files = [p for p in stored.blobs.rglob("*") if p.is_file() and not p.name.endswith(JOURNALS)]
    return State(rows, {str(p.relative_to(stored.blobs)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files})
