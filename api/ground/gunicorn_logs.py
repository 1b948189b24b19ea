"""Gunicorn's own log, through ours: by itself it writes request lines and addresses."""

from __future__ import annotations

import logging
from typing import Any

from gunicorn.glogging import Logger


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
