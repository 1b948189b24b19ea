"""A worker keeps watch: it keeps what it saw, tells it, and queues a training where the rule says so - once."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from api.models.tables import ModelRow
from api.settings import Settings
from api.training.tables import TrainingRunRow
from api.watching.tables import WatchRow
from clinical_mm.case import Case
from clinical_mm.errors import InvalidConfig
from tests.api.training.test_worker import working
from tests.api.watching.conftest import age, store

ClientAs = Callable[[str], httpx.Client]
Said = Callable[..., dict[str, Any]]
NOTHING_NEEDED = {"new_labels": 0, "days_between": 0}
RETRAINS = {"action": "retrain", "config": "small", "needs": NOTHING_NEEDED}


@pytest.fixture
def rule(services: Any, tmp_path: Path) -> Callable[..., None]:
    """Puts a rule in force."""

    def put(**values: Any) -> None:
        path = tmp_path / "watching.yaml"
        path.write_text(yaml.safe_dump(values), encoding="utf-8")
        services.ground.settings.watching_rule = path

    return put


@pytest.fixture
def moved(services: Any, taught: list[str], notes_and_vitals: list[Case]) -> list[str]:
    """Forty new cases with less oxygen than those that taught: the one feature that has drifted."""
    less = [replace(c, vitals={**c.vitals, "spo2": max(60.0, c.vitals["spo2"] - 12)}) for c in notes_and_vitals[40:]]
    return store(services, less)


def ruling(client: httpx.Client) -> dict[str, Any]:
    return dict(client.get("/watching").raise_for_status().json()["ruling"])


def runs(client: httpx.Client) -> list[dict[str, Any]]:
    return list(client.get("/training-runs").json()["items"])


def let_time_pass(services: Any) -> None:
    """As if the last look was long ago."""
    with services.ground.database.transaction() as session:
        for row in session.query(WatchRow):
            row.claimed_at = row.claimed_at.replace(year=2020)


def test_before_a_worker_has_looked_there_is_no_ruling(client: httpx.Client, taught: list[str]) -> None:
    assert client.get("/watching").json()["ruling"] is None


def test_a_drift_is_told_and_nothing_is_trained_unless_the_rule_says_so(
    client: httpx.Client, client_as: ClientAs, services: Any, moved: list[str], model: str, rule: Callable[..., None]
) -> None:
    rule(asks={"drifted_share": 0.02}, needs=NOTHING_NEEDED)
    services.keeper.look_round()
    told = ruling(client_as("viewer"))
    assert (told["model"], told["action"], told["asks"], told["lacking"]) == (model, "tell", True, [])
    assert told["drifted"] == 1
    assert told["reasons"] == [f"1 of {told['judged']} features have drifted; 2% are enough"]
    assert (told["run"], runs(client)) == (None, [])


def test_a_second_look_waits_its_turn(services: Any, taught: list[str], rule: Callable[..., None]) -> None:
    assert len(services.keeper.look_round()) == 1
    assert services.keeper.look_round() == []
    let_time_pass(services)
    assert len(services.keeper.look_round()) == 1


def test_what_is_lacking_is_told_and_queues_nothing(
    client: httpx.Client, services: Any, moved: list[str], rule: Callable[..., None]
) -> None:
    rule(action="retrain", config="small", asks={"drifted_share": 0.02}, needs={"new_labels": 5, "days_between": 14})
    services.keeper.look_round()
    told = ruling(client)
    assert (told["asks"], len(told["reasons"]), runs(client)) == (False, 1, [])
    assert told["lacking"] == [
        "0 of 5 new reviewed labels are there",
        "the newest training was 0.0 days ago, of at least 14",
    ]


def test_the_rule_queues_one_run_in_its_own_name_and_says_why_in_the_trail(
    client: httpx.Client, services: Any, moved: list[str], rule: Callable[..., None]
) -> None:
    rule(**RETRAINS, asks={"drifted_share": 0.02})
    services.keeper.look_round()
    [run] = runs(client)
    assert (run["config"], run["state"], run["created_by"]) == ("small", "queued", "watching rule (watching-rule)")
    told = ruling(client)
    assert (told["asks"], told["run"]) == (True, run["id"])
    events = client.get("/audit", params={"object_id": run["id"], "result": "changed"}).json()["items"]
    assert {event["action"] for event in events} == {"training.start", "watching.retrain"}
    assert {event["actor"] for event in events} == {"watching rule (watching-rule)"}
    assert [e["detail"]["reasons"] for e in events if e["action"] == "watching.retrain"] == [told["reasons"]]

    let_time_pass(services)
    services.keeper.look_round()
    assert ruling(client)["lacking"] == [f"a training run is under way: {run['id']}"]
    assert len(runs(client)) == 1


def test_many_workers_that_look_at_once_queue_one_run(
    client: httpx.Client, services: Any, moved: list[str], rule: Callable[..., None]
) -> None:
    rule(**RETRAINS, asks={"drifted_share": 0.02}, every_minutes=1e-9)  # each of them gets its turn
    with ThreadPoolExecutor(4) as pool:
        looks = [pool.submit(services.keeper.look_round) for _ in range(4)]
    assert sum(len(look.result()) for look in looks) >= 1
    assert len(runs(client)) == 1


def test_many_workers_share_the_looks(services: Any, taught: list[str]) -> None:
    with ThreadPoolExecutor(4) as pool:
        looks = [pool.submit(services.keeper.look_round) for _ in range(4)]
    assert sum(len(look.result()) for look in looks) == 1


def test_a_run_that_a_person_cancelled_is_not_asked_for_again_at_once(
    client: httpx.Client, services: Any, moved: list[str], model: str, rule: Callable[..., None]
) -> None:
    rule(**{**RETRAINS, "needs": {"new_labels": 0, "days_between": 14}}, asks={"drifted_share": 0.02})
    age(services, ModelRow, [model], days=15)
    services.keeper.look_round()
    [run] = runs(client)
    client.post(f"/training-runs/{run['id']}/cancel").raise_for_status()
    let_time_pass(services)
    services.keeper.look_round()
    assert len(runs(client)) == 1
    age(services, TrainingRunRow, [run["id"]], days=15)
    let_time_pass(services)
    services.keeper.look_round()
    assert len(runs(client)) == 2


def test_reviewers_who_disagree_ask_for_a_training_and_their_labels_are_new(
    client: httpx.Client, services: Any, taught: list[str], rule: Callable[..., None], says: Said
) -> None:
    rule(asks={"agreement": {"minimum_reviews": 8}}, needs={"new_labels": 8, "days_between": 0})
    for case in taught[:8]:
        prediction = says(case, {"pneumonia": 0.9})["id"]
        word = {"prediction": prediction, "verdict": "override", "diagnoses": []}
        client.post(f"/cases/{case}/reviews", json=word).raise_for_status()
    services.keeper.look_round()
    told = ruling(client)
    assert (told["asks"], told["new_labels"], told["agreement"]["reviews"]) == (True, 8, 8)
    assert told["reasons"] == ["reviewers confirmed 0% of 8 answers [0% to 32%] in 4 weeks: below 80%"]


def test_a_label_that_a_model_has_learned_is_not_new(
    client: httpx.Client, services: Any, model: str, notes_and_vitals: list[Case]
) -> None:
    from clinical_mm.bundle_layout import MANIFEST
    from clinical_mm.manifest import Manifest

    labels: list[list[str]] = [["pneumonia"], ["pneumonia"], []]
    cases = [replace(c, diagnoses=tuple(label)) for c, label in zip(notes_and_vitals, labels, strict=False)]
    ids = store(services, cases)
    path = services.models.bundle_folder(model) / MANIFEST
    path.unlink()
    Manifest.of(cases[:2], ids[:2], {"train": ids[:1], "test": ids[1:2]}).save(path)
    for case, diagnoses in zip(
        ids, (["pneumonia"], ["covid-19"], []), strict=True
    ):  # as it was, another one, a new one
        client.post(f"/cases/{case}/reviews", json={"verdict": "override", "diagnoses": diagnoses}).raise_for_status()
    services.keeper.look_round()
    assert ruling(client)["new_labels"] == 2


def test_without_a_configuration_of_its_own_the_rule_trains_as_the_serving_model_was(
    client: httpx.Client, services: Any, moved: list[str], model: str, rule: Callable[..., None]
) -> None:
    asked = {"config": "small", "set": {"training.epochs": 2}, "filter": {"q": "fever"}, "labels": "majority"}
    first = client.post("/training-runs", json=asked).json()
    client.post(f"/training-runs/{first['id']}/cancel")
    with services.ground.database.transaction() as session:
        session.get(ModelRow, model).run_id = first["id"]
    rule(action="retrain", asks={"drifted_share": 0.02}, needs=NOTHING_NEEDED)
    services.keeper.look_round()
    queued = runs(client)[0]
    assert queued["id"] == ruling(client)["run"]
    assert {key: queued[key] for key in asked} == asked


def test_a_training_that_cannot_be_queued_is_told(
    client: httpx.Client, services: Any, moved: list[str], rule: Callable[..., None]
) -> None:
    rule(action="retrain", asks={"drifted_share": 0.02}, needs=NOTHING_NEEDED)  # no configuration is named tiny
    services.keeper.look_round()
    told = ruling(client)
    assert told["asks"] is False
    assert told["lacking"][0].startswith("a training run cannot be queued: no configuration of this name")


def test_a_rule_that_is_none_says_so_and_looks_at_nothing(
    services: Any, taught: list[str], rule: Callable[..., None]
) -> None:
    rule(action="panic")
    with pytest.raises(InvalidConfig, match="action"):
        services.keeper.look_round()


def test_a_look_at_a_model_that_serves_no_more_is_not_shown(
    client: httpx.Client, services: Any, taught: list[str], new_model: Callable[..., str]
) -> None:
    services.keeper.look_round()
    assert client.get("/watching").json()["ruling"] is not None
    client.post(f"/models/{new_model()}/promote").raise_for_status()
    assert client.get("/watching").json()["ruling"] is None


@pytest.mark.slow
@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_a_worker_looks_by_itself(client: httpx.Client, settings: Settings, taught: list[str]) -> None:
    with working(settings):
        deadline = time.monotonic() + 60
        while client.get("/watching").json()["ruling"] is None:
            assert time.monotonic() < deadline
            time.sleep(0.2)
