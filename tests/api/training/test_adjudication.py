"""Reviewers disagree: which label teaches is said with the run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from api.training.job import TrainingJob
from clinical_mm.case import Case

ClientAs = Callable[[str], httpx.Client]
PNEUMONIA, FAILURE = ["pneumonia"], ["heart-failure"]


@pytest.fixture
def contested(services: Any, client_as: ClientAs, phantom_cases: list[Case]) -> dict[str, str]:
    """Three cases by what reviewers made of them: agreed, two against one, and one against one."""
    admin = services.access.operator("default")
    words = {
        "agreed": {"clinician": PNEUMONIA, "trainer": PNEUMONIA},
        "two to one": {"clinician": PNEUMONIA, "trainer": PNEUMONIA, "admin": FAILURE},
        "one to one": {"clinician": PNEUMONIA, "admin": FAILURE},
    }
    ids = {}
    for number, (name, said) in enumerate(words.items()):
        case = replace(phantom_cases[number], diagnoses=None, external_id=name)
        ids[name] = services.cases.submit_case(admin, case).id
        for role, diagnoses in said.items():
            review = {"verdict": "override", "diagnoses": diagnoses}
            client_as(role).post(f"/cases/{ids[name]}/reviews", json=review).raise_for_status()
    return ids


def frozen(services: Any, client: httpx.Client, labels: str) -> dict[str, list[str]]:
    """What a run with that rule would learn from, by case."""
    asked = {"config": "small", "labels": labels, "set": {"alignment.epochs": 0}}
    run = client.post("/training-runs", json=asked).raise_for_status().json()
    assert run["labels"] == labels
    job = TrainingJob(services.ground, services.cases, services.models, services.promotions, run["id"])
    job.freeze()
    return dict(json.loads((job.folder / "labels.json").read_text(encoding="utf-8")))


def test_by_default_the_newest_word_teaches(services: Any, client: httpx.Client, contested: dict[str, str]) -> None:
    assert frozen(services, client, "newest") == {
        contested["agreed"]: PNEUMONIA,
        contested["two to one"]: FAILURE,
        contested["one to one"]: FAILURE,
    }


def test_what_most_of_them_say_teaches_and_a_tie_does_not(
    services: Any, client: httpx.Client, contested: dict[str, str]
) -> None:
    held = frozen(services, client, "majority")
    assert held == {contested["agreed"]: PNEUMONIA, contested["two to one"]: PNEUMONIA}


def test_contested_cases_can_be_left_out(services: Any, client: httpx.Client, contested: dict[str, str]) -> None:
    assert frozen(services, client, "leave-out") == {contested["agreed"]: PNEUMONIA}


def test_one_reviewer_counts_once_by_the_newest_word_that_stands(
    services: Any, client: httpx.Client, client_as: ClientAs, contested: dict[str, str]
) -> None:
    case = contested["one to one"]
    newer = {"verdict": "override", "diagnoses": PNEUMONIA}
    last = client.post(f"/cases/{case}/reviews", json=newer).raise_for_status().json()
    assert frozen(services, client, "leave-out")[case] == PNEUMONIA, "the admin came round: nobody disagrees"
    client.post(f"/reviews/{last['id']}/withdraw").raise_for_status()
    assert case not in frozen(services, client, "leave-out")


@pytest.mark.parametrize(
    ("rule", "named_by"),
    [("newest", {"agreed": 2, "two to one": 1, "one to one": 1}), ("majority", {"agreed": 2, "two to one": 2})],
)
def test_the_snapshot_names_the_reviews_that_each_label_follows_from(
    services: Any, client: httpx.Client, contested: dict[str, str], rule: str, named_by: dict[str, int]
) -> None:
    frozen(services, client, rule)
    [run] = client.get("/training-runs").json()["items"]
    lines = (services.ground.settings.runs_folder / run["id"] / "snapshot" / "cases.jsonl").read_text(encoding="utf-8")
    told = {case["id"]: case for case in map(json.loads, lines.splitlines())}
    assert {name: len(told[contested[name]]["label_from"]) for name in named_by} == named_by
    for case_id, case in told.items():
        reviews = {one["id"]: one for one in client.get(f"/cases/{case_id}/reviews").json()["items"]}
        assert all(reviews[name]["diagnoses"] == case["diagnoses"] for name in case["label_from"])


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_another_rule_is_refused_by_name(client: httpx.Client) -> None:
    answer = client.post("/training-runs", json={"config": "small", "labels": "loudest"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/labels"
