"""What Prometheus is told: names by its conventions, labels that cannot grow, numbers that are true."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from api.ground.ids import new_id
from api.ground.meters import Meters
from api.observing.scraped import KEPT_S, NAMES, Looked
from api.predictions.queue import BatchingQueue
from api.problems import TooBusy
from api.settings import Settings
from api.watching.gauges import OF_PROJECT
from tests.api.conftest import BareSettings, case_json, listening, png
from tests.api.observing.conftest import Scrape
from tests.api.predictions.test_queue import SlowModel, noted, waiting

UNITS = ("_seconds", "_bytes", "_info", "_cases")
COUNTED = {  # things without a unit: so many of them
    "clinical_mm_requests_in_flight",
    "clinical_mm_prediction_queue_depth",
    "clinical_mm_database_connections_in_use",
    "clinical_mm_database_up",
    "clinical_mm_jobs",
    "clinical_mm_workers_alive",
    "clinical_mm_drift_psi",
    "clinical_mm_drifted",
    *OF_PROJECT,
}
on_sqlite = pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)


@on_sqlite
def test_names_keep_the_conventions_of_prometheus(server_url: str) -> None:
    """As ``promtool check metrics``: a help text, base units, _total for counters and for nothing else."""
    httpx.get(f"{server_url}/healthz")
    families = list(text_string_to_metric_families(httpx.get(f"{server_url}/metrics").text))
    assert len(families) > 15
    for family in families:
        assert re.fullmatch(r"clinical_mm_[a-z_]+", family.name)
        assert family.documentation
        assert not re.search(
            r"milli|micro|minutes|hours|percent|kilo|mega|_(created|gauge|counter|histogram)$", family.name
        )
        totals = {
            s.name.endswith("_total") for s in family.samples if not s.name.endswith(("_bucket", "_sum", "_count"))
        }
        if family.type == "counter":
            assert totals <= {True}
        else:
            assert totals <= {False}
            assert family.name.endswith(UNITS) or family.name in COUNTED, family.name
        labels = {label for sample in family.samples for label in sample.labels}
        assert not any(label.startswith("__") or label in {"job", "instance", "quantile"} for label in labels)


@on_sqlite
def test_whatever_callers_send_the_number_of_series_does_not_grow(scrape: Scrape, client: httpx.Client) -> None:
    def send(number: int) -> None:
        client.request(f"BREW{number}", "/cases")
        client.get(f"/no-such-thing-{number}")
        client.get(f"/cases/case_{number}")
        client.post("/cases/search", json={"q": f"word {number}"})

    send(0)
    scrape()
    before = set(scrape())
    for number in range(1, 6):
        send(number)
    assert set(scrape()) == before


def test_a_batch_tells_its_size_its_wait_and_its_pass_and_a_full_queue_what_it_refused() -> None:
    slow, meters = SlowModel(), Meters()
    queue = BatchingQueue(slow, max_batch=4, max_queue=3, meters=meters)  # type: ignore[arg-type]

    def value(name: str) -> float:
        found = meters.scraped().get_sample_value(f"clinical_mm_prediction_{name}")
        assert found is not None
        return found

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(queue.predict, noted("first"))]
        assert slow.busy.wait(5)
        asked += [pool.submit(queue.predict, noted(str(n))) for n in range(3)]
        waiting(queue, 3)
        assert value("queue_depth") == 3
        with pytest.raises(TooBusy):
            queue.predict(noted("one too many"))
        time.sleep(0.05)
        slow.may_answer.set()
        for one in asked:
            one.result(5)
    queue.close()
    assert value("queue_depth") == 0
    assert value("rejections_total") == 1
    assert (value("batch_cases_count"), value("batch_cases_sum")) == (2, 4)
    assert value("queue_seconds_count") == 4
    assert value("queue_seconds_sum") > 3 * 0.05
    assert value("forward_seconds_count") == 2
    assert value("forward_seconds_sum") > 0.05


@on_sqlite
def test_predicting_and_explaining_are_timed_and_the_second_time_tokens_are_found(
    scrape: Scrape, client: httpx.Client, case: str, model: str
) -> None:
    for _ in range(2):
        prediction = client.post(f"/cases/{case}/predictions").raise_for_status().json()["id"]
    explanation = client.post(f"/predictions/{prediction}/explanations", json={}).raise_for_status().json()
    told = scrape()
    assert told["clinical_mm_prediction_batch_cases_sum"] == 2
    assert told["clinical_mm_prediction_forward_seconds_count"] == 2
    method = explanation["method"]
    assert told[f'clinical_mm_explanation_seconds_count{{method="{method}"}}'] == 1
    assert told['clinical_mm_feature_cache_lookups_total{result="miss"}'] > 0
    assert told['clinical_mm_feature_cache_lookups_total{result="hit"}'] > 0
    assert 0 < told["clinical_mm_feature_cache_bytes"] <= told["clinical_mm_feature_cache_limit_bytes"]
    assert told[f'clinical_mm_serving_model_info{{model="{model}",project="default"}}'] == 1
    client.post(f"/predictions/{prediction}/explanations", json={}).raise_for_status()
    assert scrape()[f'clinical_mm_explanation_seconds_count{{method="{method}"}}'] == 1, "a stored answer takes no time"


def test_jobs_are_told_by_kind_and_state_and_workers_while_they_live(
    services: Any, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.observing.scraped.KEPT_S", 0.0)
    looked = Looked(services.ground)

    def jobs() -> dict[tuple[str, str], float]:
        (family,) = (f for f in looked.collect() if f.name == "clinical_mm_jobs")
        return {(s.labels["kind"], s.labels["state"]): s.value for s in family.samples if s.value}

    def workers() -> float:
        (family,) = (f for f in looked.collect() if f.name == "clinical_mm_workers_alive")
        return float(family.samples[0].value)

    assert {family.name for family in looked.collect()} == set(NAMES)
    assert (jobs(), workers()) == ({}, 0)
    runs = [client.post("/training-runs", json={"config": "small"}).raise_for_status().json()["id"] for _ in range(3)]
    client.post(f"/training-runs/{runs[0]}/cancel").raise_for_status()
    assert jobs() == {("training", "queued"): 2, ("training", "cancelled"): 1}
    from api.training.heartbeat import Heartbeat

    heart = Heartbeat(services.ground)
    heart.start()
    assert workers() == 1
    heart.end()
    assert workers() == 0
    with services.ground.database.transaction() as session:
        session.execute(text("UPDATE training_runs SET state = 'failed' WHERE id = :id"), {"id": runs[1]})
    assert jobs()["training", "failed"] == 1


@on_sqlite
def test_a_shadow_is_told_as_waiting_running_or_failed(
    services: Any, client: httpx.Client, model: str, new_model: Callable[..., str]
) -> None:
    client.put(f"/models/{new_model()}/shadow").raise_for_status()

    def told() -> dict[str, float]:
        (family,) = (f for f in Looked(services.ground).collect() if f.name == "clinical_mm_jobs")
        return {s.labels["state"]: s.value for s in family.samples if s.labels["kind"] == "shadow" and s.value}

    def change(what: str) -> None:
        with services.ground.database.transaction() as session:
            session.execute(text(f"UPDATE shadows SET {what}"))

    assert told() == {"queued": 1}
    change("claimed_until = '2999-01-01 00:00:00'")
    assert told() == {"running": 1}
    change("fault = 'its bundle is gone'")
    assert told() == {"failed": 1}
    change("ended_at = '2026-01-01 00:00:00'")
    assert told() == {}


@on_sqlite
def test_the_database_is_not_asked_at_every_scrape(services: Any, client: httpx.Client, scrape: Scrape) -> None:
    assert KEPT_S >= 1
    scrape()
    client.post("/training-runs", json={"config": "small"}).raise_for_status()
    assert scrape()['clinical_mm_jobs{kind="training",state="queued"}'] == 0


def test_connections_are_counted_until_they_are_given_back_broken_ones_too(services: Any, scrape: Scrape) -> None:
    database, name = services.ground.database, "clinical_mm_database_connections_in_use"
    idle = scrape()[name]
    with database.reading() as session:
        assert scrape()[name] == idle + 1
        session.connection().invalidate()
    assert scrape()[name] == idle == 0


@on_sqlite
def test_requests_in_flight_are_those_that_are_answered_now(scrape: Scrape, client: httpx.Client) -> None:
    for _ in range(3):
        client.post("/cases", json={"nonsense": True})
        assert scrape()["clinical_mm_requests_in_flight"] == 1, "the scrape itself"


@on_sqlite
def test_while_the_database_is_away_that_is_told_and_the_rest_too(
    services: Any, scrape: Scrape, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.exc import OperationalError

    def away(*_: Any) -> None:
        raise OperationalError("SELECT", {}, RuntimeError("server closed the connection"))

    monkeypatch.setattr(services.ground.database, "reading", away)
    told = scrape()
    assert told["clinical_mm_database_up"] == 0
    assert told["clinical_mm_workspace_free_bytes"] > 0
    assert not any(name.startswith("clinical_mm_jobs") for name in told)


@on_sqlite
def test_a_database_that_hangs_does_not_hang_a_scrape(services: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.observing.scraped.PATIENCE_S", 0.2)
    looked = Looked(services.ground)
    monkeypatch.setattr(looked._ask, "_work", lambda: time.sleep(3))
    started = time.monotonic()
    told = {f.name: f.samples[0].value for f in looked.collect()}
    assert time.monotonic() - started < 2
    assert told["clinical_mm_database_up"] == 0


@on_sqlite
def test_metrics_can_be_kept_for_whoever_has_the_token(services: Any, settings: Settings) -> None:
    from api.app import create_app
    from api.services import build

    guarded = BareSettings(**{**settings.model_dump(), "metrics_token": "let-me-read"})
    built = build(guarded)
    with listening(create_app(services=built)) as url:
        assert httpx.get(f"{url}/metrics").status_code == 401
        assert httpx.get(f"{url}/metrics", headers={"Authorization": "Bearer let-me-reae"}).status_code == 401
        answer = httpx.get(f"{url}/metrics", headers={"Authorization": "Bearer let-me-read"})
        assert "clinical_mm_request_seconds" in answer.raise_for_status().text
        assert httpx.get(f"{url}/healthz").status_code == 200
    built.close()
    assert "let-me-read" not in repr(guarded)


@on_sqlite
def test_no_words_of_a_case_are_in_a_metric(scrape: Scrape, client: httpx.Client) -> None:
    canary = f"Zyxwv{new_id('c')[-8:]}"
    body = case_json(
        external_id=canary, note=f"{canary} has fever", patient={"id": canary, "sex": "F", "age_years": 64}
    )
    files = [("case", (None, json.dumps(body), "application/json")), ("files", (f"{canary}.png", png(), "image/png"))]
    case = client.post("/cases", files=files).raise_for_status().json()["id"]
    client.get("/cases", params={"q": canary})
    client.post("/cases/search", json={"q": canary})
    client.get(f"/cases/{canary}")
    client.request(canary.upper(), f"/cases/{case}")
    assert not any(canary.lower() in name.lower() or case in name for name in scrape())


COUNTS = """
import sys
from api.ground.meters import Meters
meters = Meters()
meters.refusals.labels(429).inc(); meters.in_flight.inc(2)
print("counted", flush=True)
sys.stdin.read()
"""


def test_counts_of_several_processes_add_up_and_gauges_of_dead_ones_go(tmp_path: Path) -> None:
    """As ``serve`` with several processes has it: counts lie in files of a folder that one variable names."""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    command = [sys.executable, "-c", COUNTS]
    several = [
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in "ab"
    ]
    for one in several:
        assert one.stdout is not None
        assert one.stdout.readline() == "counted\n"
    reading = """
import sys
from prometheus_client import generate_latest, multiprocess
from api.ground.meters import Meters
for pid in sys.argv[1:]: multiprocess.mark_process_dead(int(pid))
print(generate_latest(Meters().scraped()).decode())
"""

    def read(*dead: int) -> str:
        told = [sys.executable, "-c", reading, *map(str, dead)]
        return subprocess.run(told, env=environment, capture_output=True, text=True, check=True).stdout

    both = read()
    assert 'clinical_mm_refusals_total{status="429"} 2.0' in both
    assert "clinical_mm_requests_in_flight 4.0" in both
    several[0].kill()
    several[0].wait()
    one_left = read(several[0].pid)
    assert 'clinical_mm_refusals_total{status="429"} 2.0' in one_left
    assert "clinical_mm_requests_in_flight 2.0" in one_left
    several[1].kill()
    several[1].wait()
