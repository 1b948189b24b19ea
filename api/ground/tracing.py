"""Spans for OpenTelemetry: off, and nothing of it imported, until ``start`` is given an address to send them to.

Start after a fork: the thread that sends does not survive one. What leaves the process is cut down to the list in
``spans.py``, whoever set it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from importlib.util import find_spec
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from sqlalchemy import Engine

from clinical_mm.errors import InvalidConfig

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    from api.ground.spans import Spans

P = ParamSpec("P")
T = TypeVar("T")
_spans: Spans | None = None


def check(endpoint: str, setting: str = "CLINICAL_MM_OTLP_ENDPOINT") -> None:
    """Raise InvalidConfig where traces are asked for, or logs, and cannot be sent."""
    if not endpoint:
        return
    if not endpoint.startswith(("http://", "https://")):
        raise InvalidConfig(f"{setting} must be an http or https address: OTLP over HTTP")
    try:
        found = find_spec("opentelemetry.exporter.otlp.proto.http")
    except ModuleNotFoundError:  # not even its parents
        found = None
    if found is None:
        raise InvalidConfig(f"{setting} needs the extra: pip install 'clinical-mm[tracing]'")


def start(endpoint: str, exporter: SpanExporter | None = None) -> None:
    """Send spans from now on, to ``endpoint`` or to a given exporter; with neither, or a second time, nothing happens.

    Raises:
        InvalidConfig: as ``check``.
    """
    global _spans  # noqa: PLW0603 - a process has one place to send to
    check(endpoint)
    if _spans is None and (endpoint or exporter is not None):
        from api.ground.spans import Spans

        _spans = Spans(endpoint, exporter)


def stop() -> None:
    """Send what waits, for at most a few seconds, and nothing from then on."""
    global _spans  # noqa: PLW0603
    if _spans is not None:
        _spans.close()
        _spans = None


def spans() -> Spans | None:
    """What sends, where something does."""
    return _spans


def follow(engine: Engine) -> None:
    """Tell of each statement of an engine, within whatever span is open."""
    if _spans is not None:
        _spans.follow(engine)


@contextmanager
def span(name: str, **attributes: str | int) -> Iterator[None]:
    """Time a piece of work, within whatever span is open in this thread."""
    if _spans is None:
        yield
        return
    with _spans.span(name, attributes):
        yield


def traced(name: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Let each call of a function be a span."""

    def wrap(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def call(*args: P.args, **named: P.kwargs) -> T:
            with span(name):
                return function(*args, **named)

        return call

    return wrap


def tell(name: str, begun: float, ended: float, **attributes: str | int) -> None:
    """A span that is over already, by ``time.perf_counter`` at its beginning and end; for work of another thread."""
    if _spans is not None and begun and ended:
        offset = time.time() - time.perf_counter()
        _spans.tell(name, offset + begun, offset + ended, attributes)
