"""The connections of an engine, so that they can be cut while other threads wait on them."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from typing import Any

from psycopg import Error as PsycopgError
from sqlalchemy import Engine, event


class Lines:
    """Every open connection of a PostgreSQL engine."""

    def __init__(self, engine: Engine) -> None:
        self._open: dict[int, Any] = {}
        self._lock = threading.Lock()
        event.listen(engine, "connect", self._opened)
        event.listen(engine, "close", self._closed)
        event.listen(engine, "close_detached", self._closed)

    def cut(self) -> None:
        """Shut down every socket: whoever waits for an answer on one gets an error at once."""
        with self._lock:
            found = list(self._open.values())
        for connection in found:
            with suppress(OSError, PsycopgError), socket.socket(fileno=os.dup(connection.fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)  # one that is closed meanwhile is no fault

    def _opened(self, connection: Any, _record: Any) -> None:
        with self._lock:
            self._open[id(connection)] = connection

    def _closed(self, connection: Any, *_: Any) -> None:
        with self._lock:
            self._open.pop(id(connection), None)
