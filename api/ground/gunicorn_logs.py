"""Gunicorn's own words, through ours: by itself it writes request lines into its log and back to whoever sent them."""

from __future__ import annotations

import logging
from typing import Any

from gunicorn.glogging import Logger
from gunicorn.http.errors import ParseException
from gunicorn.workers.gthread import ThreadWorker


class QuietLogger(Logger):  # type: ignore[misc] # gunicorn has no types
    """Hands its records to the root logger, which takes out what callers sent; there is no access log beside ours."""

    def setup(self, cfg: Any) -> None:
        """No handlers of its own."""
        self.error_log.handlers[:], self.access_log.handlers[:] = [], []
        self.error_log.propagate, self.access_log.propagate = True, False
        self.error_log.setLevel(logging.NOTSET)

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Nothing: a request's own line is written where its route is known (app.py)."""

    def reopen_files(self) -> None:
        """There are none."""


class QuietWorker(ThreadWorker):  # type: ignore[misc] # gunicorn has no types
    """Answers what is no HTTP without quoting it back."""

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """As gunicorn does, with an error that tells its name alone."""
        kind = type(exc)
        if isinstance(exc, ParseException):
            exc.__class__ = type(kind.__name__, (kind,), {"__str__": lambda _: kind.__name__})
        super().handle_error(req, client, addr, exc)
