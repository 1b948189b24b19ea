"""How often: requests of one caller, and failures of one address. Counted in memory or in a shared store.

While a shared store does not answer, each process counts for itself: neither is everyone locked out, nor is there no
limit at all.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from limits import RateLimitItem, parse
from limits.errors import ConfigurationError, StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import SlidingWindowCounterRateLimiter

from api.problems import RateLimited
from clinical_mm.errors import InvalidConfig

log = logging.getLogger(__name__)
AWAY_S = 5.0
"""After a failure the shared store is left alone for so long."""
PATIENCE = {"socket_connect_timeout": 0.3, "socket_timeout": 0.3}


@dataclass(frozen=True)
class Standing:
    """How a caller stands: draft-ietf-httpapi-ratelimit-headers."""

    limit: int
    window_s: int
    remaining: int
    reset_s: int

    def headers(self) -> dict[str, str]:
        """``RateLimit-Policy`` and ``RateLimit``."""
        return {
            "RateLimit-Policy": f'"caller";q={self.limit};w={self.window_s}',
            "RateLimit": f'"caller";r={self.remaining};t={self.reset_s}',
        }


Question = Callable[[SlidingWindowCounterRateLimiter], tuple[bool, Standing]]


class Counting:
    """Counts in one store, or in memory while that is away."""

    def __init__(self, url: str) -> None:
        """Raises InvalidConfig: no such store, or its client is not installed."""
        options = PATIENCE if url.startswith(("redis", "valkey")) else {}
        try:
            shared = storage_from_string(url, wrap_exceptions=True, **options)
            self._shared = None if isinstance(shared, MemoryStorage) else SlidingWindowCounterRateLimiter(shared)
        except (ConfigurationError, NotImplementedError) as error:
            raise InvalidConfig(f"CLINICAL_MM_RATE_LIMIT_STORAGE: {error}") from error
        self._own, self._turn = SlidingWindowCounterRateLimiter(MemoryStorage()), threading.Lock()
        self._away_until = 0.0

    def spend(self, item: RateLimitItem, name: str) -> tuple[bool, Standing]:
        """Count one; whether it was still within the limit, and how it stands."""
        return self._ask(lambda limiter: (limiter.hit(item, name), _standing(limiter, item, name)))

    def has_left(self, item: RateLimitItem, name: str) -> tuple[bool, Standing]:
        """The same without counting."""
        return self._ask(lambda limiter: (limiter.test(item, name), _standing(limiter, item, name)))

    def _ask(self, question: Question) -> tuple[bool, Standing]:
        if self._shared is not None and time.monotonic() >= self._away_until:
            try:
                return question(self._shared)
            except StorageError as error:
                self._away_until = time.monotonic() + AWAY_S
                log.warning("requests are counted in memory: %s", type(error.storage_error).__name__)
        with self._turn:  # two threads at once may start the same timer of the library's, which raises RuntimeError
            return question(self._own)


class Limits:
    """The two limits; an empty one lets everything through."""

    def __init__(self, per_caller: str, failures: str, storage: str) -> None:
        """Such as ``"100/minute"``; raises InvalidConfig."""
        self._per_caller = _item("CLINICAL_MM_RATE_LIMIT", per_caller)
        self._failures = _item("CLINICAL_MM_RATE_LIMIT_FAILURES", failures)
        self._counting = Counting(storage)

    def spend(self, caller_id: str) -> Standing | None:
        """Count a request of a caller; raises RateLimited."""
        if self._per_caller is None:
            return None
        within, standing = self._counting.spend(self._per_caller, f"caller {caller_id}")
        if not within:
            raise RateLimited(
                f"more than {standing.limit} requests in {standing.window_s} s",
                retry_after_s=max(1, standing.reset_s),
                headers=standing.headers(),
            )
        return standing

    def refuse_guessing(self, address: str) -> None:
        """Raises RateLimited where too many attempts from an address failed lately."""
        if self._failures is None or not address:
            return
        within, standing = self._counting.has_left(self._failures, f"failure {address}")
        if not within:
            raise RateLimited("too many failed attempts from this address", retry_after_s=max(1, standing.reset_s))

    def count_failure(self, address: str) -> None:
        """An attempt from an address failed."""
        if self._failures is not None and address:
            self._counting.spend(self._failures, f"failure {address}")


def _item(setting: str, text: str) -> RateLimitItem | None:
    try:
        return parse(text) if text else None
    except ValueError as error:
        raise InvalidConfig(f"{setting}: {text!r} is not like 100/minute") from error


def _standing(limiter: SlidingWindowCounterRateLimiter, item: RateLimitItem, name: str) -> Standing:
    stats = limiter.get_window_stats(item, name)
    reset = max(0, math.ceil(stats.reset_time - time.time()))
    return Standing(item.amount, item.get_expiry(), max(0, stats.remaining), reset)
