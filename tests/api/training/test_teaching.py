"""Which labels of reviewers teach: golden cases, second readers and quotas, from the stored reviews to the snapshot."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.training.job import TrainingJob
from clinical_mm.case import Case
from clinical_mm.training.vetting import TEACHING

ClientAs = Callable[[str], httpx.Client]
PNEUMONIA, FAILURE = ["pneumonia"], ["heart-failure"]


@pytest.fixture
def policy(services: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Puts a label policy in force."""

    def put(text: str) -> None:
        (tmp_path / "labels.yaml").write_text(text, encoding="utf-8")
        monkeypatch.setattr(services.ground.settings, "label_policy", tmp_path / "labels.yaml")

    return put


@pytest.fixture
def ids(services: Any, client_as: ClientAs, phantom_cases: list[Case]) -> dict[str, str]:
    """Cases by what they came with and what reviewers made of it."""
    admin = services.access.operator("default")
    words: dict[str, tuple[list[str] | None, dict[str, list[str]]]] = {
        "as sent": (PNEUMONIA, {}),
        "read by one": (None, {"clinician": PNEUMONIA}),
        "read by two": (None, {"clinician": PNEUMONIA, "trainer": PNEUMONIA}),
        "overridden": (PNEUMONIA, {"clinician": FAILURE}),
        "overridden by two": (PNEUMONIA, {"clinician": FAILURE, "trainer": FAILURE}),
        "golden": (PNEUMONIA, {"clinician": FAILURE}),
    }
    found = {}
    for number, (name, (sent, said)) in enumerate(words.items()):
        case = replace(phantom_cases[number], external_id=name, diagnoses=None if sent is None else tuple(sent))
        found[name] = services.cases.submit_case(admin, case).id
        if name == "golden":
            services.golden.add(admin, found[name])
        for role, diagnoses in said.items():
            review = {"verdict": "override", "diagnoses": diagnoses}
            client_as(role).post(f"/cases/{found[name]}/reviews", json=review).raise_for_status()
    return found


def frozen(services: Any, client: httpx.Client, ids: dict[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a run would learn from, by the names above, and what it tells of it."""
    asked = {"config": "small", "set": {"alignment.epochs": 0}}
    run = client.post("/training-runs", json=asked).raise_for_status().json()
    assert run["label_report"] is None
    job = TrainingJob(services.ground, services.cases, services.models, services.promotions, run["id"])
    job.record.begin()
    job.freeze()
    names = {case_id: name for name, case_id in ids.items()}
    lines = (job.folder / "snapshot" / "cases.jsonl").read_text(encoding="utf-8").splitlines()
    told = {names[case["id"]]: case for case in map(json.loads, lines)}
    report = client.get(f"/training-runs/{run['id']}").json()["label_report"]["report"]
    assert json.loads((job.folder / "snapshot" / TEACHING).read_text(encoding="utf-8"))["report"] == report
    return told, report


def test_as_it_comes_every_label_teaches_and_tells_whose_it_is(
    services: Any, client: httpx.Client, client_as: ClientAs, ids: dict[str, str]
) -> None:
    told, report = frozen(services, client, ids)
    assert {name: case["diagnoses"] for name, case in told.items()} == {
        "as sent": PNEUMONIA,
        "read by one": PNEUMONIA,
        "read by two": PNEUMONIA,
        "overridden": FAILURE,
        "overridden by two": FAILURE,
        "golden": PNEUMONIA,
    }
    keys = {key["name"]: key["id"] for key in client.get("/keys").json()["items"]}
    one, two = keys["test clinician"], keys["test trainer"]
    assert {name: case.get("label_by") for name, case in told.items()} == {
        "as sent": ["command-line"],
        "read by one": [one],
        "read by two": [one, two],
        "overridden": [one],
        "overridden by two": [one, two],
        "golden": None,
    }
    assert [name for name, case in told.items() if case.get("golden")] == ["golden"]
    assert (report["labels"], report["golden"], report["as_sent"], report["reviewed"]) == (6, 1, 1, 4)
    assert report["left_out"] == {}
    assert {one["reviewer"]: one["labels"] for one in report["reviewers"]} == {one: 4, two: 2}


def test_with_a_second_reader_for_overrides_one_word_against_what_was_sent_does_not_teach(
    services: Any, client: httpx.Client, ids: dict[str, str], policy: Callable[[str], None]
) -> None:
    policy("second_reader: {needed: overrides}")
    told, report = frozen(services, client, ids)
    assert set(ids) - set(told) == {"overridden"}
    assert report["left_out"] == {"second reader": 1}


def test_a_model_that_was_sure_counts_as_much_as_what_was_sent(
    services: Any,
    client: httpx.Client,
    ids: dict[str, str],
    policy: Callable[[str], None],
    says: Callable[..., dict[str, Any]],
    model: str,
) -> None:
    says(ids["read by one"], {"pneumonia": 0.02, "heart-failure": 0.5})
    says(ids["read by two"], {"pneumonia": 0.02})
    policy("second_reader: {needed: overrides}")
    told, _ = frozen(services, client, ids)
    assert set(ids) - set(told) == {"overridden", "read by one"}


def test_with_a_second_reader_always_only_what_was_sent_and_what_two_agree_on_teaches(
    services: Any, client: httpx.Client, ids: dict[str, str], policy: Callable[[str], None]
) -> None:
    policy("second_reader: {needed: always}")
    told, _ = frozen(services, client, ids)
    assert set(told) == {"as sent", "read by two", "overridden by two", "golden"}


@pytest.mark.parametrize("confirmed", [False, True])
def test_to_change_a_label_by_hand_is_a_word_like_a_review(
    services: Any,
    client: httpx.Client,
    client_as: ClientAs,
    ids: dict[str, str],
    policy: Callable[[str], None],
    confirmed: bool,
) -> None:
    case, clinician = ids["as sent"], client_as("clinician")
    clinician.patch(f"/cases/{case}", json={"diagnoses": FAILURE}).raise_for_status()
    if confirmed:  # by the same key: that makes no second reader
        review = {"verdict": "confirm", "diagnoses": FAILURE}
        clinician.post(f"/cases/{case}/reviews", json=review).raise_for_status()
    policy("second_reader: {needed: overrides}")
    assert "as sent" not in frozen(services, client, ids)[0]
    client_as("trainer").post(
        f"/cases/{case}/reviews", json={"verdict": "confirm", "diagnoses": FAILURE}
    ).raise_for_status()
    told, _ = frozen(services, client, ids)
    assert len(told["as sent"]["label_by"]) == 2


def test_beyond_the_quota_of_a_day_the_newer_words_do_not_teach(
    services: Any, client: httpx.Client, ids: dict[str, str], policy: Callable[[str], None]
) -> None:
    policy("quota: {per_day: 1}")
    told, report = frozen(services, client, ids)
    assert set(ids) - set(told) == {"overridden"}
    assert report["left_out"] == {"quota a day": 1}
    assert {one["left_out"].get("quota a day", 0) for one in report["reviewers"]} == {0, 1}


def test_what_was_left_out_keeps_its_label(
    services: Any, client: httpx.Client, ids: dict[str, str], policy: Callable[[str], None]
) -> None:
    policy("second_reader: {needed: always}")
    frozen(services, client, ids)
    assert client.get(f"/cases/{ids['overridden']}").json()["diagnoses"] == FAILURE


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_a_policy_that_cannot_be_read_ends_the_run_with_its_fault(
    services: Any, client: httpx.Client, ids: dict[str, str], policy: Callable[[str], None]
) -> None:
    from clinical_mm.errors import InvalidConfig

    policy("quota: {per_day: none}")
    with pytest.raises(InvalidConfig, match=r"labels\.yaml: quota\.per_day"):
        frozen(services, client, ids)
