"""What a worker saw, as Prometheus reads it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from clinical_mm.case import Case
from tests.api.watching.conftest import store


def gauges(server_url: str) -> dict[str, float]:
    """Name with labels -> value, of what watching tells."""
    text = httpx.get(f"{server_url}/metrics").raise_for_status().text
    told = re.findall(r"^(clinical_mm_(?:drift|watch|review|new|retrain)\S+(?: \S+)*) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in told}


def test_drift_and_agreement_are_gauges_as_of_the_last_look(
    services: Any,
    server_url: str,
    client: httpx.Client,
    taught: list[str],
    notes_and_vitals: list[Case],
    says: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert gauges(server_url) == {}
    moved = [
        replace(case, vitals={**case.vitals, "spo2": max(60.0, case.vitals["spo2"] - 12)})
        for case in notes_and_vitals[40:]
    ]
    cases = store(services, moved)
    for case in cases[:2]:
        prediction = says(case, {"pneumonia": 0.9})["id"]
        client.post(f"/cases/{case}/reviews", json={"prediction": prediction, "verdict": "confirm"}).raise_for_status()
    assert gauges(server_url) == {}, "a scrape counts nothing"
    services.keeper.look_round()
    monkeypatch.setattr(services.watching, "report", None)
    told = gauges(server_url)
    assert told['clinical_mm_drift_psi{feature="spo2",kind="input",project="default"}'] > 0.25
    drifted = {name for name, value in told.items() if name.startswith("clinical_mm_drifted{") and value}
    assert drifted == {'clinical_mm_drifted{feature="spo2",kind="input",project="default"}'}
    assert told['clinical_mm_drifted_features{project="default"}'] == 1
    assert told['clinical_mm_watched_features{project="default"}'] > 5
    assert told['clinical_mm_review_agreement{project="default"}'] == 1
    assert told['clinical_mm_review_agreement_reviews{project="default"}'] == 2
    assert told['clinical_mm_new_reviewed_labels{project="default"}'] == 2
    assert told['clinical_mm_retrain_asked{project="default"}'] == 0
    assert told['clinical_mm_watching_timestamp_seconds{project="default"}'] > 1.7e9
    assert not any("pneumonia" in name for name in told), "two answers are too few to tell of"


def test_no_patient_is_in_a_label(services: Any, server_url: str, taught: list[str]) -> None:
    services.keeper.look_round()
    text = httpx.get(f"{server_url}/metrics").text
    known = {"project", "feature", "kind", "method", "route", "status", "le", "result", "state", "model", "version"}
    assert set(re.findall(r"[{,](\w+)=", text)) <= known
    assert not any(case in text for case in taught)


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_while_the_database_is_away_the_other_metrics_are_still_told(
    services: Any, server_url: str, taught: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.exc import OperationalError

    def away(*_: Any) -> None:
        raise OperationalError("SELECT", {}, RuntimeError("server closed the connection"))

    services.keeper.look_round()
    httpx.get(f"{server_url}/healthz")
    monkeypatch.setattr(services.ground.database, "reading", away)
    text = httpx.get(f"{server_url}/metrics").raise_for_status().text
    assert "clinical_mm_request_seconds_count" in text
    assert "clinical_mm_drift" not in text
