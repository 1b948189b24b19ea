"""Requests that come through: sent again after 429 and 503, when the service says so, and after a line that broke."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from clinical_mm.client.problem import Problem

Part = tuple[str, tuple[str | None, bytes, str]]
"""Name of the part; filename, bytes, media type."""
AGAIN = frozenset({429, 503})
FIRST_S, LONGEST_S = 0.5, 30.0


class Sending:
    """One connection pool and its manners; a POST carries an Idempotency-Key, so that sent twice it acts once."""

    def __init__(self, http: httpx.Client, retries: int, sleep: Callable[[float], None] = time.sleep) -> None:
        self._http, self._retries, self._sleep = http, retries, sleep

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        parts: Sequence[Part] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """The answer, where it is one of success; raises Problem."""
        sent = {"Idempotency-Key": str(uuid.uuid4())} if method == "POST" else {}
        sent |= headers or {}
        for turn in range(self._retries + 1):
            last = turn == self._retries
            try:
                answer = self._http.request(method, path, params=_present(params), json=json, files=parts, headers=sent)
            except httpx.TransportError as error:
                if last or method == "PATCH":  # whether it was carried out is not known, and it has no key
                    raise Problem(0, type(error).__name__, str(error)) from error
                self._sleep(_pause(turn, None))
                continue
            if answer.is_success:
                return answer
            if last or answer.status_code not in AGAIN:
                raise Problem.of(answer)
            self._sleep(_pause(turn, answer.headers.get("Retry-After")))
        raise AssertionError("the last turn returns or raises")


def _present(params: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (params or {}).items() if value is not None}


def _pause(turn: int, told: str | None) -> float:
    """Seconds to wait: as many as the service says, else longer each time, and never as long as anyone else."""
    asked = _seconds(told)
    if asked is not None:
        return min(asked, LONGEST_S)
    return min(FIRST_S * 2.0**turn, LONGEST_S) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret


def _seconds(told: str | None) -> float | None:
    """Retry-After: seconds, or a date (RFC 9110, 10.2.3)."""
    if told is None:
        return None
    if told.strip().isdigit():
        return float(told)
    try:
        moment = parsedate_to_datetime(told)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
