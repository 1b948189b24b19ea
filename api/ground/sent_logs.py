"""The log, sent to a collector by OTLP as well (the extra 'tracing'): another machine keeps what this one may lose.

What is sent of a record is what stands in its line of JSON (``logs.told``), in batches, by a thread of each process; a
collector that is away loses records and delays nobody. Logs are not stable yet in OpenTelemetry's Python (``_logs``),
so what is used of it stands in this file alone.
Source: OpenTelemetry, logs data model; its semantic conventions for the names of attributes.
"""

from __future__ import annotations

import logging
import os
from typing import Any
from urllib.parse import urlsplit

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

from api.ground.logs import told
from api.ground.spans import SEND_S, who_sends, whole_address

OF_SENDING = ("opentelemetry.", "urllib3.", "requests.")
"""Loggers of whatever sends: a record about a record that could not be sent would be sent, and so on."""
KEPT = 4096
"""Records that wait at most; so many go at once, so that the last ones take one try."""
EACH_MS = 1000
_SEVERITIES = {
    logging.DEBUG: SeverityNumber.DEBUG,
    logging.INFO: SeverityNumber.INFO,
    logging.WARNING: SeverityNumber.WARN,
    logging.ERROR: SeverityNumber.ERROR,
    logging.CRITICAL: SeverityNumber.FATAL,
}


class SendingHandler(logging.Handler):
    """Sends records; ``logging.shutdown`` sends what waits, for a few seconds at most.

    Each process makes its own sender at its first record, since the thread that sends does not survive a fork.
    """

    def __init__(self, endpoint: str) -> None:
        super().__init__()
        self._endpoint = whole_address(endpoint, "/v1/logs")
        self._sender: LoggerProvider | None = None
        self._process = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Put it where the thread takes it from."""
        if record.name.startswith(OF_SENDING):
            return
        found = told(record)
        words = found.pop("message")
        sent = LogRecord(
            timestamp=int(record.created * 1e9),
            severity_text=found.pop("level"),
            severity_number=_SEVERITIES.get(record.levelno, SeverityNumber.UNSPECIFIED),
            body=words,
            attributes={name: _plain(value) for name, value in found.items() if value is not None and name != "time"},
        )
        self._of_this_process().get_logger("clinical_mm").emit(sent)

    def close(self) -> None:
        """Send what waits."""
        if self._sender is not None and self._process == os.getpid():
            self._sender.shutdown()
        super().close()

    def _of_this_process(self) -> LoggerProvider:
        if self._sender is None or self._process != os.getpid():
            self._process = os.getpid()
            self._sender = LoggerProvider(who_sends({"process.pid": self._process}), shutdown_on_exit=False)
            exporter = OTLPLogExporter(endpoint=self._endpoint, timeout=SEND_S)
            batches = BatchLogRecordProcessor(
                exporter, schedule_delay_millis=EACH_MS, max_export_batch_size=KEPT, max_queue_size=KEPT
            )
            self._sender.add_log_record_processor(batches)
        return self._sender


def is_guarded(endpoint: str) -> bool:
    """Whether what is sent there can be read by nobody on the way: TLS, or a collector on this machine."""
    parts = urlsplit(endpoint)
    return parts.scheme == "https" or parts.hostname in {"localhost", "127.0.0.1", "::1"}


def _plain(value: Any) -> str | int | float | list[str]:
    """What an attribute may hold."""
    if isinstance(value, list):
        return [str(one) for one in value]
    return value if isinstance(value, str | int | float) else str(value)
