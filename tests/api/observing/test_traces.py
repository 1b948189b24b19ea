"""Traces: what a request was made of, and no word of a patient."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from api.ground import tracing
from api.settings import Settings
from clinical_mm.errors import InvalidConfig
from tests.api.conftest import BareSettings, case_json, listening, png
from tests.api.observing.collector import Collector, attributes, collecting
from tests.whole.server import Server, create_key, wait_for_run

on_sqlite = pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
PARENT = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def exported() -> Iterator[InMemorySpanExporter]:
    """Where spans go; to be asked for before the server. Read it after ``tracing.stop()``."""
    exporter = InMemorySpanExporter()
    tracing.start("", exporter)
    yield exporter
    tracing.stop()


@on_sqlite
def test_a_prediction_is_made_of_its_parts(
    exported: InMemorySpanExporter, client: httpx.Client, case: str, model: str
) -> None:
    sent = {"traceparent": f"00-{PARENT}-00f067aa0ba902b7-01"}
    prediction = client.post(f"/cases/{case}/predictions", headers=sent).raise_for_status().json()["id"]
    client.post(f"/predictions/{prediction}/explanations", json={}).raise_for_status()
    client.get(f"/cases/{case}/files/0").raise_for_status()
    tracing.stop()
    spans = {span.name: span for span in exported.get_finished_spans()}
    request = spans["POST /v1/cases/<id>/predictions"]
    assert f"{request.context.trace_id:032x}" == PARENT, "it goes on a trace that the client had begun"
    assert dict(request.attributes) == {
        "http.request.method": "POST",
        "http.route": "/v1/cases/<id>/predictions",
        "http.response.status_code": 201,
    }
    for name in ("prediction.queue", "prediction.forward"):
        assert spans[name].parent.span_id == request.context.span_id
        assert request.start_time <= spans[name].start_time <= spans[name].end_time <= request.end_time
    assert spans["prediction.forward"].attributes["cases"] == 1
    assert {"explanation", "blob.get", "SELECT", "INSERT"} <= set(spans)
    assert spans["SELECT"].attributes["db.system.name"] == "sqlite"
    assert "?" in spans["INSERT"].attributes["db.query.text"]
    assert not any("/healthz" in name for name in spans)


def test_an_error_is_told_by_its_type_alone(exported: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="Mrs Canary"), tracing.span("work"):
        raise ValueError("Mrs Canary has fever")
    tracing.stop()
    (span,) = exported.get_finished_spans()
    assert dict(span.attributes) == {"error.type": "ValueError"}
    assert not span.status.is_ok
    assert (span.status.description, span.events) == (None, ())


def test_no_word_of_a_patient_leaves_whatever_is_sent(settings: Settings, keys: dict[str, str]) -> None:
    from api.app import create_app
    from api.services import build

    word = "Canaryson"
    with collecting() as collector:
        built = build(BareSettings(**{**settings.model_dump(), "otlp_endpoint": collector.address}))
        with listening(create_app(services=built)) as url:
            headers = {
                "Authorization": f"Bearer {keys['admin']}",
                "User-Agent": word,
                "traceparent": f"00-{PARENT}-00f067aa0ba902b7-01",
                "tracestate": f"vendor={word}",
                "baggage": f"name={word}",
            }
            with httpx.Client(base_url=f"{url}/v1", headers=headers, timeout=30) as client:
                _say_it_everywhere(client, word)
        tracing.stop()
        built.close()
        assert {"POST /v1/cases", "GET /v1/cases", "POST /v1/cases/search", "blob.put"} <= collector.names()
        statements = [attributes(s).get("db.query.text", "") for s in collector.spans]
        assert any("INSERT INTO cases" in statement for statement in statements)
        assert word.lower().encode() not in collector.raw.lower()
        assert collector.resources[0]["service.name"] == "clinical-mm"


def _say_it_everywhere(client: httpx.Client, word: str) -> None:
    body = case_json(external_id=word, note=f"{word} has fever.", patient={"id": word, "sex": "F", "age_years": 64})
    files = [("case", (None, json.dumps(body), "application/json")), ("files", (f"{word}.png", png(), "image/png"))]
    case = client.post("/cases", files=files, headers={"Idempotency-Key": word}).raise_for_status().json()["id"]
    assert client.post("/cases", json=body).status_code == 409
    assert client.post("/cases", json={**body, "vitals": {word: 1}}).status_code == 422
    client.post("/cases/search", json={"q": word}).raise_for_status()
    assert client.get("/cases", params={"q": word}).status_code == 422
    client.patch(f"/cases/{case}", json={"note": f"{word}, again"}).raise_for_status()
    override = {"verdict": "override", "diagnoses": ["pneumonia"], "comment": word}
    client.post(f"/cases/{case}/reviews", json=override).raise_for_status()
    assert client.get(f"/cases/{word}").status_code == 404
    assert client.request(word, f"/{word}").status_code in {404, 405}
    client.post("/keys", json={"role": "viewer", "name": word}).raise_for_status()
    client.get(f"/cases/{case}/files/0").raise_for_status()
    client.delete(f"/cases/{case}").raise_for_status()


@pytest.mark.slow
def test_serve_and_its_job_worker_send_what_they_have_before_they_end(tmp_path: Path) -> None:
    with collecting() as collector:
        extra = {"CLINICAL_MM_OTLP_ENDPOINT": f"{collector.address}/v1/traces"}
        with Server(tmp_path / "workspace", extra) as server:
            with server.client(create_key(server.workspace, "admin")) as client:
                run = client.post("/training-runs", json={"config": "small"}).raise_for_status()
                assert wait_for_run(client, run.headers["Location"])["state"] == "failed", "there are no cases"
                client.get("/catalogue").raise_for_status()
            assert server.stop() == 0
        assert {"POST /v1/training-runs", "GET /v1/catalogue", "job.freeze"} <= collector.names()
        jobs = [span for span in collector.spans if span.name == "job.freeze"]
        assert attributes(jobs[0])["run"] == run.json()["id"]
        assert "Traceback" not in server.printed()


@on_sqlite
def test_a_collector_that_is_away_delays_nobody(services: Any, settings: Settings) -> None:
    from api.app import create_app
    from api.services import build

    built = build(BareSettings(**{**settings.model_dump(), "otlp_endpoint": "http://127.0.0.1:1"}))
    with listening(create_app(services=built)) as url:
        started = time.monotonic()
        for _ in range(5):
            assert httpx.get(f"{url}/docs").status_code == 302
        assert time.monotonic() - started < 8
    started = time.monotonic()
    tracing.stop()
    assert time.monotonic() - started < 15
    built.close()


def test_an_address_that_is_none_and_an_extra_that_is_absent_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidConfig, match="must be an http or https address"):
        tracing.check("collector:4317")
    tracing.check("http://collector:4318")
    monkeypatch.setattr(tracing, "find_spec", lambda name: None if "exporter" in name else find_spec(name))
    with pytest.raises(InvalidConfig, match=r"clinical-mm\[tracing\]"):
        tracing.check("http://collector:4318")


def test_without_an_address_nothing_of_opentelemetry_is_loaded(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from api.app import create_app
from api.ground.migrate import upgrade
from api.settings import Settings
settings = Settings(workspace=Path({str(tmp_path)!r}))
upgrade(settings)
create_app(settings)
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert done.stdout.strip() == "[]"


def test_the_collector_of_these_tests_reads_what_it_is_sent() -> None:
    with collecting() as collector:
        assert isinstance(collector, Collector)
        tracing.start(collector.address)
        with tracing.span("work", cases=3):
            pass
        tracing.stop()
        (span,) = collector.spans
        assert (span.name, attributes(span)) == ("work", {"cases": 3})
