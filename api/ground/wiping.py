"""After erasing: nothing of it is to lie in SQLite's log, nor among PostgreSQL's dead rows and statistics."""

from __future__ import annotations

import logging
import sqlite3
from typing import Any

import psycopg
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

log = logging.getLogger(__name__)
BUSY_MS, WAIT_MS = 30_000, 500
"""How long SQLite waits for another writer, and how long for this."""
TABLES = (
    "cases",
    "case_labels",
    "case_files",
    "predictions",
    "explanations",
    "reviews",
    "shadow_predictions",
    "blob_uses",
)
"""Whose rows tell of a patient."""


def wipe(engine: Engine) -> None:
    """The rows are gone by then in any case; where this is not possible just now, it is told and left for later."""
    act = _vacuum if engine.dialect.name == "postgresql" else _empty_log
    try:
        connection = engine.raw_connection()
        try:
            act(connection.driver_connection)
        finally:
            connection.close()
    except (SQLAlchemyError, psycopg.Error, sqlite3.Error) as error:
        log.warning("what was erased could not be wiped from disk yet: %s", type(error).__name__)


def _vacuum(driver: Any) -> None:
    driver.autocommit = True
    try:
        driver.execute(f"VACUUM (ANALYZE, SKIP_LOCKED) {', '.join(TABLES)}")
    finally:
        driver.autocommit = False


def _empty_log(driver: Any) -> None:
    """Into the database file, where ``secure_delete`` has overwritten it; a reader's part is left."""
    driver.execute(f"PRAGMA busy_timeout={WAIT_MS}")
    try:
        driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        driver.execute(f"PRAGMA busy_timeout={BUSY_MS}")
