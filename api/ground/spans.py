"""OpenTelemetry itself (the extra 'tracing'): makes spans and sends them by OTLP over HTTP.

Instrumentation packages would set what must not leave: query strings, paths, addresses, messages of errors. So the
spans are our own few, and the exporter passes on listed attributes alone, without events, links and states.
Source of the names: OpenTelemetry semantic conventions 1.37, HTTP and database.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Span, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from sqlalchemy import Connection, Engine, ExceptionContext, event

LISTED = frozenset(
    {
        "http.request.method",
        "http.route",
        "http.response.status_code",
        "db.system.name",
        "db.query.text",
        "error.type",
        "cases",
        "method",
        "run",
    }
)
"""Routes, never paths; statements without their parameters; ids of runs; counts. Nothing of a case."""
SEND_S = 3.0
LONGEST_STATEMENT = 2000
_SPAN = "clinical_mm span"


class Spans:
    """Makes spans, in whichever thread, and sends them from one of its own; a collector that is away loses them."""

    def __init__(self, endpoint: str, exporter: SpanExporter | None = None) -> None:
        """``exporter``: in place of one to ``endpoint``."""
        self._provider = TracerProvider(resource=who_sends())
        listed = OnlyListed(exporter or _exporter(endpoint))
        self._provider.add_span_processor(BatchSpanProcessor(listed, schedule_delay_millis=1000))
        self._tracer = self._provider.get_tracer("clinical_mm")
        self._propagator = TraceContextTextMapPropagator()

    def close(self) -> None:
        """Send what waits."""
        self._provider.shutdown()

    @contextmanager
    def span(self, name: str, attributes: Mapping[str, str | int]) -> Iterator[None]:
        """Time a piece of work; its error is told by its type alone."""
        with self._tracer.start_as_current_span(name, attributes=dict(attributes), record_exception=False) as made:
            try:
                yield
            except Exception as error:
                _fail(made, error)
                raise

    def tell(self, name: str, begun: float, ended: float, attributes: Mapping[str, str | int]) -> None:
        """A span that is over, in seconds since 1970."""
        made = self._tracer.start_span(name, attributes=dict(attributes), start_time=int(begun * 1e9))
        made.end(int(ended * 1e9))

    def begin_request(self, traceparent: str, method: str) -> tuple[Span, Any]:
        """The span of a request, current from now on, and what ``end_request`` takes; W3C Trace Context is followed."""
        before = self._propagator.extract({"traceparent": traceparent}, context=Context())
        made = self._tracer.start_span(
            method, context=before, kind=SpanKind.SERVER, attributes={"http.request.method": method}
        )
        return made, attach(trace.set_span_in_context(made))

    @staticmethod
    def answer_request(made: Span, method: str, route: str, status: int) -> None:
        """Say which route answered, and how."""
        made.update_name(f"{method} {route}")
        made.set_attributes({"http.route": route, "http.response.status_code": status})
        if status >= 500:
            made.set_status(StatusCode.ERROR)

    @staticmethod
    def end_request(made: Span, token: Any) -> None:
        """The request is over."""
        detach(token)
        made.end()

    def follow(self, engine: Engine) -> None:
        """Tell of each statement, within a span alone: what runs by itself in the background is no part of a trace."""
        system = engine.dialect.name

        def before(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
            if trace.get_current_span().is_recording():
                attributes = {"db.system.name": system, "db.query.text": statement[:LONGEST_STATEMENT]}
                name = statement.split(maxsplit=1)[0].upper() if statement.strip() else "SQL"
                made = self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)
                connection.info.setdefault(_SPAN, []).append(made)

        def after(connection: Connection, *_: Any) -> None:
            if connection.info.get(_SPAN):
                connection.info[_SPAN].pop().end()

        def failed(context: ExceptionContext) -> None:
            waiting = context.connection.info.get(_SPAN) if context.connection is not None else None
            if waiting:
                made = waiting.pop()
                _fail(made, context.original_exception)
                made.end()

        event.listen(engine, "before_cursor_execute", before)
        event.listen(engine, "after_cursor_execute", after)
        event.listen(engine, "handle_error", failed)


class OnlyListed(SpanExporter):
    """Passes on spans cut down to ``LISTED``."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send them."""
        return self._exporter.export([_cut(one) for one in spans])

    def shutdown(self) -> None:
        """Send no more."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits here."""
        return self._exporter.force_flush(timeout_millis)


def _cut(span: ReadableSpan) -> ReadableSpan:
    return ReadableSpan(
        name=span.name,
        context=_place(span.context),
        parent=_place(span.parent),
        resource=span.resource,
        attributes={name: value for name, value in (span.attributes or {}).items() if name in LISTED},
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _place(context: SpanContext | None) -> SpanContext | None:
    """Without its trace state, into which a client may write anything."""
    if context is None:
        return None
    return SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags)


def _fail(span: Span, error: BaseException) -> None:
    span.set_status(StatusCode.ERROR)
    span.set_attribute("error.type", type(error).__name__)


def _exporter(endpoint: str) -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=whole_address(endpoint, "/v1/traces"), timeout=SEND_S)


def whole_address(endpoint: str, path: str) -> str:
    """Where a collector takes what is sent: its address as given, or, where that has no path, with the usual one."""
    return endpoint.rstrip("/") + path if urlsplit(endpoint).path in {"", "/"} else endpoint


def who_sends(more: Mapping[str, str | int] | None = None) -> Resource:
    """This service, and what the variables of OpenTelemetry say of it."""
    return Resource.create({"service.name": "clinical-mm", "service.version": version("clinical-mm"), **(more or {})})
