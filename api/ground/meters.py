"""What the processes of a server count, for Prometheus; docs/observing.md lists it.

Import this after a server has forked: the client decides at its import whether counts lie in memory or, where
``PROMETHEUS_MULTIPROC_DIR`` names a folder, in files that every web process reads. No label may grow without bound:
routes, never paths; methods of HTTP that are known; never an identifier of a case or a caller.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy import Engine, event

M = TypeVar("M", bound=Collector)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"
SHARED = "PROMETHEUS_MULTIPROC_DIR"
QUICK_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
SLOW_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
CASES = (1, 2, 4, 8, 16, 32, 64, 128)


class Meters:
    """The counts of one process; gauges of several are added up, over those that live."""

    def __init__(self) -> None:
        self._made: list[Collector] = []
        of = ["method", "route", "status"]
        self.requests = self._histogram("clinical_mm_request_seconds", "Time to answer", QUICK_S, of)
        self.refusals = self._counter("clinical_mm_refusals", "Answers of 4xx and 5xx", ["status"])
        self.in_flight = self._gauge("clinical_mm_requests_in_flight", "Requests that are being answered")
        self.queue_depth = self._gauge("clinical_mm_prediction_queue_depth", "Predictions that wait for the model")
        self.queue_full = self._counter("clinical_mm_prediction_rejections", "Predictions refused: the queue was full")
        self.waited = self._histogram("clinical_mm_prediction_queue_seconds", "Wait before the forward pass", QUICK_S)
        self.forward = self._histogram("clinical_mm_prediction_forward_seconds", "Read and forward a batch", QUICK_S)
        self.batch = self._histogram("clinical_mm_prediction_batch_cases", "Cases that shared a pass", CASES)
        self.explained = self._histogram("clinical_mm_explanation_seconds", "Time to explain", SLOW_S, ["method"])
        self.scanned = self._counter("clinical_mm_scanned_files", "Files shown to the virus scanner", ["result"])
        self._lookups = self._counter("clinical_mm_feature_cache_lookups", "Encoders' results looked up", ["result"])
        self._connections = self._gauge("clinical_mm_database_connections_in_use", "Connections given out by the pool")

    def scraped(self, collectors: Iterable[Collector] = ()) -> CollectorRegistry:
        """What a scrape reads: the counts of this process, or of all of a server's, and what ``collectors`` look up."""
        registry = CollectorRegistry()
        if SHARED in os.environ:
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        else:
            for one in self._made:
                registry.register(one)
        for one in collectors:
            registry.register(one)
        return registry

    def names(self) -> list[str]:
        """The names of all that is counted here, as Prometheus stores them (without a histogram's endings)."""
        families = (family for one in self._made for family in one.describe())  # type: ignore[attr-defined]
        return [f"{f.name}_total" if f.type == "counter" else str(f.name) for f in families]

    def looked_up(self, found: int, missed: int) -> None:
        """Count what a feature cache was asked for."""
        self._lookups.labels("hit").inc(found)
        self._lookups.labels("miss").inc(missed)

    def follow(self, engine: Engine) -> None:
        """Count the connections that an engine's pool has given out."""
        event.listen(engine, "checkout", lambda *_: self._connections.inc())
        event.listen(engine, "checkin", lambda *_: self._connections.dec())

    def _histogram(self, name: str, told: str, buckets: tuple[float, ...], labels: Iterable[str] = ()) -> Histogram:
        return self._kept(Histogram(name, told, labels, buckets=buckets, registry=None))

    def _counter(self, name: str, told: str, labels: Iterable[str] = ()) -> Counter:
        return self._kept(Counter(name, told, labels, registry=None))

    def _gauge(self, name: str, told: str) -> Gauge:
        return self._kept(Gauge(name, told, registry=None, multiprocess_mode="livesum"))

    def _kept(self, made: M) -> M:
        self._made.append(made)
        return made


def known_method(method: str) -> str:
    """A method of HTTP as a label: callers may send any word."""
    return method if method in METHODS else OTHER
