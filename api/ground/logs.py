"""Logs that hold no patient data: one line an event, text or JSON.

What this project's own code says in a log is written here and names no patient. What a library says may quote what a
caller sent - pydicom a header, SQLAlchemy its parameters, gunicorn a request line - so of a library's record only the
constant part is kept, and of an exception its type and where it was raised, never its words.
"""

from __future__ import annotations

import json
import logging
import re
import signal
import sys
import threading
import traceback
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from api.ground import tracing
from api.ground.clock import rfc3339
from clinical_mm import errors

OWN = ("api.", "clinical_mm.")
FLASK = "api.app"
"""Flask's own logger is called as our module is, and puts a request's path into its message."""
REQUEST = "api.request"
SENT_TO = "CLINICAL_MM_OTLP_LOGS_ENDPOINT"
FIELDS = "fields"
"""The attribute of a record that holds what is more than its message."""
_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""What would begin a line that nobody wrote, or steer a terminal."""
_NOT_SHOWN = "(a library's words, not shown: they may quote what was sent)"
_OPERATORS = (errors.NotEnoughData, errors.InvalidConfig, errors.InvalidBundle, errors.Cancelled, errors.DamagedFile)
_SIGNALS = frozenset(known.name for known in signal.Signals)


def configure(log_format: Literal["text", "json"], level: str, endpoint: str = "") -> None:
    """Log to standard error from now on; warnings of Python go there too. ``endpoint``: a collector that gets the same.

    Raises:
        InvalidConfig: nothing can be sent to the collector, or others could read it on the way.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler, *sending(endpoint)]
    wanted = logging.getLevelName(level.upper())
    root.setLevel(wanted if wanted == logging.DEBUG else max(wanted, logging.WARNING))
    for name in OWN:
        logging.getLogger(name.rstrip(".")).setLevel(wanted)
    logging.captureWarnings(capture=True)
    threading.excepthook = _thread_ended


def sending(endpoint: str) -> list[logging.Handler]:
    """What sends records to a collector; nothing where none is named. Raises InvalidConfig, as ``configure``."""
    tracing.check(endpoint, SENT_TO)
    if not endpoint:
        return []
    from api.ground.sent_logs import SendingHandler, is_guarded

    if not is_guarded(endpoint):
        raise errors.InvalidConfig(f"{SENT_TO} must be https, or an address of this machine")
    return [SendingHandler(endpoint)]


def _thread_ended(what: threading.ExceptHookArgs) -> None:
    """Python would print the exception's words."""
    if what.exc_value is not None and not isinstance(what.exc_value, SystemExit):
        error = (what.exc_type, what.exc_value, what.exc_traceback)
        logging.getLogger(REQUEST).error("a thread ended by an error", exc_info=error)


def adopt(logger: str) -> None:
    """Let a library that brought handlers of its own log through ours."""
    found = logging.getLogger(logger)
    found.handlers[:], found.propagate = [], True


def told(record: logging.LogRecord) -> dict[str, Any]:
    """What of a record may be written."""
    fields = getattr(record, FIELDS, {}) if is_own(record.name) else {}
    found = {
        "time": rfc3339(datetime.fromtimestamp(record.created, UTC)),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": _message(record),
        **fields,
    }
    if not is_own(record.name):
        found["where"] = f"{Path(record.pathname).name}:{record.lineno}"
    if record.exc_info and record.exc_info[1] is not None:
        found["error"] = chain(record.exc_info[1])
        found["raised"] = frames(record.exc_info[2])
    return found


def is_own(logger: str) -> bool:
    """Whether a logger is this project's."""
    return logger.startswith(OWN) and logger != FLASK


def chain(error: BaseException) -> list[str]:
    """The types of an exception and of those it came from."""
    found: list[str] = []
    at: BaseException | None = error
    while at is not None and len(found) < 10:
        found.append(type(at).__qualname__)
        at = at.__cause__ or at.__context__
    return found


def frames(trace: TracebackType | None) -> list[str]:
    """Where an exception went through, the last ten: file, line and function, no source and no values."""
    walked = traceback.extract_tb(trace, limit=-10)
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in walked]


def _message(record: logging.LogRecord) -> str:
    if is_own(record.name):
        args = record.args if isinstance(record.args, tuple) else ()
        return str(record.msg) % tuple(map(_safe, args)) if args else record.getMessage()
    if record.name.startswith("gunicorn.") and record.args and all(map(_is_plain, record.args)):
        return record.getMessage()
    # With arguments, what stands before they are put in is a constant of the library's source; without, it may be made.
    return str(record.msg) if record.args and str(record.msg).count("%") < len(str(record.msg)) // 2 else _NOT_SHOWN


def _is_plain(value: Any) -> bool:
    """A process's number or a signal's name: no caller's word."""
    return isinstance(value, int) or (isinstance(value, str) and value in _SIGNALS)


def _safe(value: Any) -> Any:
    """An error that may quote a caller is told by its type; one of the operator's own making by its words."""
    if not isinstance(value, BaseException):
        return value
    return value if isinstance(value, _OPERATORS) else type(value).__qualname__


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return json.dumps(told(record), default=str)


class TextFormatter(logging.Formatter):
    """The same for people."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        found = told(record)
        head = f"{found.pop('time')} {found.pop('level').upper()} {found.pop('logger')}: {found.pop('message')}"
        line = " ".join([head, *(f"{name}={_short(value)}" for name, value in found.items() if value is not None)])
        return _BREAKS.sub(lambda control: repr(control[0])[1:-1], line)


def _short(value: Any) -> str:
    return " < ".join(map(str, value)) if isinstance(value, list) else str(value)
