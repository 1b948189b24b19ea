"""The log goes to a collector on another machine too: the same records, in batches, to nobody who may not read them."""

from __future__ import annotations

import ipaddress
import json
import logging
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from api.ground import tracing
from api.ground.logs import FIELDS, JsonFormatter, sending
from api.settings import Settings
from clinical_mm.errors import InvalidConfig, NotEnoughData
from tests.api.cases.test_submit import multipart
from tests.api.conftest import case_json, png
from tests.api.observing.collector import attributes, collecting
from tests.whole.server import Server, create_key

ClientAs = Callable[[str], httpx.Client]


@contextmanager
def logging_to(endpoint: str) -> Iterator[logging.Handler]:
    """As in a process of the service; at its end what waits is sent."""
    [handler] = sending(endpoint)
    root = logging.getLogger()
    root.addHandler(handler)
    logging.getLogger("api").setLevel(logging.INFO)
    try:
        yield handler
    finally:
        handler.close()
        root.removeHandler(handler)
        logging.getLogger("api").setLevel(logging.NOTSET)


def test_what_is_sent_is_what_the_line_of_json_says() -> None:
    record = logging.getLogger("api.x").makeRecord(
        "api.x", logging.WARNING, "/x/module.py", 7, "run %s failed", ("run_1",), None, extra={FIELDS: {"ms": 2.5}}
    )
    error = NotEnoughData("3 labelled cases")
    error.__cause__ = KeyError("p-1")
    record.exc_info = (type(error), error, None)
    line = json.loads(JsonFormatter().format(record))
    with collecting() as collector, logging_to(collector.address) as handler:
        handler.emit(record)
        handler.close()
        [sent] = collector.logs
    assert (sent.body.string_value, sent.severity_text) == (line["message"], line["level"])
    assert datetime.fromtimestamp(sent.time_unix_nano / 1e9, UTC).isoformat()[:19] == line["time"][:19]
    found = attributes(sent)
    assert (found["logger"], found["ms"]) == (line["logger"], 2.5)
    for name in ("error", "raised"):
        assert [one.string_value for one in found[name].values] == line[name]
    assert set(found) | {"message", "level", "time"} == set(line)
    assert collector.resources[0]["service.name"] == "clinical-mm"


def test_no_word_of_a_patient_leaves_with_the_log(client: httpx.Client) -> None:
    word = "Canaryson"
    with collecting() as collector:
        with logging_to(collector.address):
            body = case_json(external_id=word, note=f"{word} has fever.")
            client.post("/cases", **multipart(body, (f"{word}.png", png()))).raise_for_status()
            assert client.post("/cases", **multipart(body, (f"{word}.png", png()[:50]))).status_code == 422
            client.post("/cases/search", json={"q": word}).raise_for_status()
            assert client.get(f"/cases/{word}").status_code == 404
            logging.getLogger("pydicom").warning("Invalid value for VR %s", word)
            logging.getLogger("pydicom").warning("Invalid value for VR PN: " + word)  # noqa: G003 - as libraries do
        routes = {(attributes(one).get("method"), attributes(one).get("route")) for one in collector.logs}
        assert {("POST", "/v1/cases"), ("POST", "/v1/cases/search"), ("GET", "/v1/cases/<id>")} <= routes
        assert word.lower().encode() not in collector.raw.lower()


@pytest.mark.slow
def test_every_process_of_serve_sends_its_log_and_what_waits_when_it_ends(tmp_path: Path) -> None:
    with collecting() as collector:
        extra = {"CLINICAL_MM_OTLP_LOGS_ENDPOINT": f"{collector.address}/v1/logs", "CLINICAL_MM_PROCESSES": "2"}
        with Server(tmp_path / "workspace", extra) as server:
            with server.client(create_key(server.workspace, "admin")) as client:
                client.get("/catalogue").raise_for_status()
            deadline = time.monotonic() + 60
            while not any(word.endswith("is ready") for word in collector.words()) and time.monotonic() < deadline:
                time.sleep(0.2)
            with server.client("no key") as stranger:  # the last thing that happens
                assert stranger.get("/cases/counts").status_code == 401
            assert server.stop() == 0
        routes = {attributes(one).get("route") for one in collector.logs}
        assert {"/v1/catalogue", "/v1/cases/counts"} <= routes, "the web processes"
        assert any(word.startswith("job worker") and word.endswith("is ready") for word in collector.words())
        assert len({one["process.pid"] for one in collector.resources}) >= 2
        assert "Traceback" not in server.printed()
        assert "/v1/catalogue" in server.printed(), "standard error has it as before"


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_a_collector_that_is_away_delays_nobody_and_fails_nothing(server_url: str) -> None:
    with logging_to("http://127.0.0.1:1") as handler:
        started = time.monotonic()
        for _ in range(20):
            assert httpx.get(f"{server_url}/docs").status_code == 302
        assert time.monotonic() - started < 10
        started = time.monotonic()
        handler.close()
        assert time.monotonic() - started < 8


def test_it_is_sent_by_tls_to_a_collector_that_is_who_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # a developer's own, which would go before
        monkeypatch.delenv(name, raising=False)
    certificate, tls = self_signed(tmp_path)
    log = logging.getLogger("api.x")
    with collecting(tls) as collector:
        with logging_to(collector.address):
            log.warning("to whom it may concern")
        assert collector.logs == [], "nobody vouches for it"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(certificate))
        with logging_to(collector.address):
            log.warning("to the collector")
        assert collector.words() == {"to the collector"}


def self_signed(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1, and a server's side of it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "collector")])
    today = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, plain)
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, private)
    return certificate, tls


@pytest.mark.parametrize("address", ["http://collector:4318", "http://10.1.2.3:4318/v1/logs", "collector:4317"])
def test_a_log_is_sent_where_nobody_reads_it_on_the_way_or_not_at_all(address: str) -> None:
    with pytest.raises(InvalidConfig, match="CLINICAL_MM_OTLP_LOGS_ENDPOINT must be"):
        sending(address)
    assert sending("") == []


def test_an_extra_that_is_absent_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "find_spec", lambda name: None if "exporter" in name else find_spec(name))
    with pytest.raises(InvalidConfig, match=r"CLINICAL_MM_OTLP_LOGS_ENDPOINT .*clinical-mm\[tracing\]"):
        sending("https://collector.example:4318")


def test_what_the_sender_says_itself_is_not_sent(settings: Settings) -> None:
    """Or each failure would be one record more that cannot be sent."""
    with collecting() as collector:
        with logging_to(collector.address):
            for name in ("opentelemetry.exporter", "urllib3.connectionpool", "requests.sessions"):
                logging.getLogger(name).error("failed %s of %s", 1, 2)
            logging.getLogger("api.x").error("a fault")
        assert collector.words() == {"a fault"}


def test_a_record_names_the_trace_that_it_belongs_to() -> None:
    spans = InMemorySpanExporter()
    tracing.start("", spans)
    with collecting() as collector:
        with logging_to(collector.address), tracing.span("work"):
            logging.getLogger("api.x").error("a fault")
        tracing.stop()
        [span], [sent] = spans.get_finished_spans(), collector.logs
    assert int.from_bytes(sent.trace_id, "big") == span.context.trace_id
