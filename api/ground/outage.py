"""What leaves when the ground gives way: 503 while the database is away, 507 when the disk is full."""

from __future__ import annotations

import errno
import logging
from http import HTTPStatus

from flask import Flask, Response, g
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from api.ground.database import DatabaseAway
from api.problems import problem

log = logging.getLogger(__name__)
RETRY_AFTER_S = 2
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def register(app: Flask) -> None:
    """Answer for the database and the disk, on every route."""
    app.register_error_handler(OperationalError, _database_away)
    app.register_error_handler(InterfaceError, _database_away)
    app.register_error_handler(PoolTimeout, _database_away)
    app.register_error_handler(DatabaseAway, _database_away)
    app.register_error_handler(OSError, _disk)


def _database_away(error: DBAPIError | PoolTimeout | DatabaseAway) -> Response:
    if isinstance(error, DBAPIError) and _is_full(str(error.orig)):
        return _full()
    log.error("the database does not answer: %s", type(error).__name__)
    g.ground_gave_way = True
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, "the database does not answer; try again", headers=headers)


def _disk(error: OSError) -> Response:
    if error.errno not in _FULL:
        raise error
    return _full()


def _is_full(message: str) -> bool:
    # SQLite and PostgreSQL tell a full disk in words alone.
    return "disk is full" in message or "No space left on device" in message


def _full() -> Response:
    log.error("the disk is full")
    g.ground_gave_way = True
    return problem(HTTPStatus.INSUFFICIENT_STORAGE, "the disk is full; nothing of this request was stored")
