"""An OpenTelemetry collector of a few lines: takes OTLP over HTTP, with TLS too, and keeps what it was sent."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass
class Collector:
    """What came so far."""

    address: str = ""
    spans: list[Any] = field(default_factory=list)
    logs: list[Any] = field(default_factory=list)
    resources: list[dict[str, str]] = field(default_factory=list)
    raw: bytes = b""

    def take(self, path: str, body: bytes) -> None:
        self.raw += body
        if path == "/v1/logs":
            for one in ExportLogsServiceRequest.FromString(body).resource_logs:
                self.resources.append(_named(one.resource.attributes))
                self.logs += [record for scope in one.scope_logs for record in scope.log_records]
            return
        for one in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append(_named(one.resource.attributes))
            self.spans += [span for scope in one.scope_spans for span in scope.spans]

    def words(self) -> set[str]:
        return {record.body.string_value for record in self.logs}

    def names(self) -> set[str]:
        return {span.name for span in self.spans}


def attributes(span: Any) -> dict[str, Any]:
    return _named(span.attributes)


def _named(pairs: Any) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in pairs}


@contextmanager
def collecting(tls: ssl.SSLContext | None = None) -> Iterator[Collector]:
    """A collector that listens."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/x-protobuf"
            collector.take(self.path, self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    collector.address = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
