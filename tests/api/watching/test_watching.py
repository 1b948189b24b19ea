"""What has moved since the serving model learned: inputs, answers, agreement with reviewers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from api.cases.tables import CaseRow
from api.predictions.tables import PredictionRow
from clinical_mm.bundle_layout import MANIFEST
from clinical_mm.case import Case
from clinical_mm.manifest import Manifest
from tests.api.watching.conftest import age, store, verdicts

ClientAs = Callable[[str], httpx.Client]
Said = Callable[..., dict[str, Any]]


def test_a_vital_that_has_moved_is_told_and_the_others_are_not(
    services: Any, client_as: ClientAs, taught: list[str], notes_and_vitals: list[Case], model: str
) -> None:
    moved = [
        replace(case, vitals={**case.vitals, "spo2": max(60.0, case.vitals["spo2"] - 12)})
        for case in notes_and_vitals[40:]
    ]
    store(services, moved)
    report = client_as("viewer").get("/watching").raise_for_status().json()
    assert (report["model"], report["days"], report["notes"]) == (model, 30, [])
    assert report["inputs"][0]["feature"] == "spo2"
    assert report["inputs"][0]["mean_now"] < report["inputs"][0]["mean_then"] - 8
    assert {name for name, verdict in verdicts(report, "inputs").items() if verdict == "drifted"} == {"spo2"}


def test_cases_from_before_the_window_and_those_that_taught_do_not_count(
    services: Any, client: httpx.Client, taught: list[str], notes_and_vitals: list[Case]
) -> None:
    fresh = store(services, notes_and_vitals[40:])
    age(services, CaseRow, fresh, days=45)
    assert {one["now"] for one in client.get("/watching").json()["inputs"]} == {0}
    assert set(verdicts(client.get("/watching").json(), "inputs").values()) == {"too few cases"}
    assert {one["now"] for one in client.get("/watching", params={"days": 365}).json()["inputs"]} == {40}


def test_cases_that_a_snapshot_held_without_a_label_count_as_new(
    services: Any, client: httpx.Client, taught: list[str], notes_and_vitals: list[Case], model: str
) -> None:
    fresh = store(services, notes_and_vitals[40:])
    path = services.models.bundle_folder(model) / MANIFEST
    Manifest.of(notes_and_vitals, [*taught, *fresh], {"train": taught, "left_out": fresh}).save(path)
    assert {one["now"] for one in client.get("/watching").json()["inputs"]} == {40}


def test_answers_are_compared_with_the_same_model_s_earlier_ones(
    services: Any, client: httpx.Client, taught: list[str], says: Said
) -> None:
    early = [says(case, {"pneumonia": 0.2 + 0.01 * n})["id"] for n, case in enumerate(taught)]
    age(services, PredictionRow, early, days=60)
    assert verdicts(client.get("/watching").json(), "outputs") == {"pneumonia": "too few cases"}
    for n, case in enumerate(taught[:35]):
        says(case, {"pneumonia": 0.9 + 0.001 * n})
    # of each case the newest answer counts: five are left from before
    age(services, PredictionRow, early[35:], days=60)
    [one] = client.get("/watching").json()["outputs"]
    assert (one["then"], one["now"]) == (5, 35)


def test_agreement_is_counted_by_week(client: httpx.Client, taught: list[str], says: Said) -> None:
    for n, case in enumerate(taught[:4]):
        prediction = says(case, {"pneumonia": 0.9})["id"]
        word = {"verdict": "override", "diagnoses": []} if n == 0 else {"verdict": "confirm"}
        client.post(f"/cases/{case}/reviews", json={"prediction": prediction, **word}).raise_for_status()
    [week] = client.get("/watching").json()["agreement"]
    assert (week["reviews"], week["confirmed"]) == (4, 3)
    assert week["low"] < 0.75 < week["high"]


def test_training_cases_that_are_gone_are_told(
    services: Any, client: httpx.Client, taught: list[str], notes_and_vitals: list[Case]
) -> None:
    client.delete(f"/cases/{taught[0]}").raise_for_status()
    store(services, notes_and_vitals[40:45])
    report = client.get("/watching").json()
    assert report["notes"] == ["1 of the 40 cases that taught it are not stored here (any more)"]
    assert {one["then"] for one in report["inputs"]} == {39}


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_without_a_model_or_with_an_odd_window_it_says_so(client: httpx.Client) -> None:
    assert client.get("/watching").status_code == 503
    assert client.get("/watching", params={"days": 0}).status_code == 422
