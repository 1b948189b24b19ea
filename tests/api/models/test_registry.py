"""The registry: the first model serves at once, a person decides about later ones, every change can be taken back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.models.service import LOADED, Models
from clinical_mm.errors import InvalidBundle
from tests.api.stored import Stored, state_of

ClientAs = Callable[[str], httpx.Client]
NewModel = Callable[..., str]


def serving(client: httpx.Client) -> list[str]:
    return [m["id"] for m in client.get("/models").json()["items"] if m["serving"]]


def test_the_first_model_serves_at_once_and_later_ones_are_held(client: httpx.Client, new_model: NewModel) -> None:
    first, second = new_model(), new_model()
    assert serving(client) == [first]
    assert [m["id"] for m in client.get("/models").json()["items"]] == [second, first]


def test_a_model_brings_its_card_its_snapshot_and_its_evaluation(client: httpx.Client, model: str) -> None:
    told = client.get(f"/models/{model}").json()
    assert len(told["snapshot_sha256"]) == len(told["weights_sha256"]) == 64
    assert told["card"]["data"]["snapshot_sha256"] == told["snapshot_sha256"]
    assert told["metrics"]["test"]["cases"] > 0
    assert told["diagnoses"]


def test_a_model_s_whole_report_is_a_call_away(client: httpx.Client, model: str, client_as: ClientAs) -> None:
    told = client_as("viewer").get(f"/models/{model}/report").json()
    assert told["model"] == model
    report = told["report"]
    assert report["macro_auroc"] == client.get(f"/models/{model}").json()["metrics"]["test"]["macro_auroc"]
    assert {s["modalities"][0] for s in report["subsets"] if len(s["modalities"]) == 1} == {"imaging", "text", "vitals"}
    assert {"calibration", "risk_coverage", "groups", "confounders", "prediction_set"} <= set(report)


def test_a_model_s_card_is_a_call_away(client_as: ClientAs, model: str) -> None:
    told = client_as("viewer").get(f"/models/{model}/card").json()
    assert told["model_details"]["name"] == "tiny"
    assert told["training_data"]["synthetic"] is True
    assert client_as("stranger").get(f"/models/{model}/card").status_code == 404


def test_a_model_that_nobody_could_judge_says_so(client: httpx.Client, model: str, services: Any) -> None:
    (services.models.bundle_folder(model) / "docs/report.json").unlink()
    answer = client.get(f"/models/{model}/report")
    assert answer.status_code == 404
    assert "no case was left to judge it on" in answer.json()["detail"]


def test_a_promotion_is_in_force_with_the_next_request_in_every_process(
    client: httpx.Client, services: Any, case: str, new_model: NewModel
) -> None:
    from api.services import build

    new_model()
    second = new_model()
    elsewhere = build(services.ground.settings)
    try:
        admin = elsewhere.access.operator("default")
        assert elsewhere.predictions.create(admin, case).model != second
        assert client.post(f"/models/{second}/promote").json()["serving"] is True
        assert client.post(f"/cases/{case}/predictions").json()["model"] == second
        assert elsewhere.predictions.create(admin, case).model == second
    finally:
        elsewhere.close()


def test_rolling_back_goes_one_model_further_each_time(client: httpx.Client, new_model: NewModel) -> None:
    first, second, third = new_model(), new_model(), new_model()
    client.post(f"/models/{second}/promote")
    client.post(f"/models/{third}/promote")
    assert client.post("/models/rollback").json()["id"] == second
    assert client.post("/models/rollback").json()["id"] == first
    answer = client.post("/models/rollback")
    assert (answer.status_code, serving(client)) == (409, [first])
    client.post(f"/models/{third}/promote")
    assert client.post("/models/rollback").json()["id"] == first


def test_without_any_model_there_is_nothing_to_roll_back_to(client: httpx.Client) -> None:
    assert client.post("/models/rollback").status_code == 409
    assert client.get("/models").json()["items"] == []


def test_promoting_what_serves_changes_nothing(client: httpx.Client, new_model: NewModel) -> None:
    first, second = new_model(), new_model()
    client.post(f"/models/{second}/promote")
    assert client.post(f"/models/{second}/promote").status_code == 200
    assert client.post("/models/rollback").json()["id"] == first


def test_only_an_admin_of_the_project_decides(
    client: httpx.Client, client_as: ClientAs, new_model: NewModel, stored: Stored
) -> None:
    first, second = new_model(), new_model()
    foreign = new_model("another hospital")
    before = state_of(stored)
    assert client_as("trainer").post(f"/models/{second}/promote").status_code == 403
    assert client_as("trainer").post("/models/rollback").status_code == 403
    assert client_as("stranger").post(f"/models/{second}/promote").status_code == 404
    assert client.post(f"/models/{foreign}/promote").status_code == 404
    assert client.get(f"/models/{foreign}").status_code == 404
    assert state_of(stored) == before
    assert serving(client) == [first]
    assert serving(client_as("stranger")) == [foreign]


def test_a_run_makes_one_model_however_often_it_registers(
    services: Any, trained_bundle: Path, stored: Stored, client: httpx.Client
) -> None:
    admin = services.access.operator("default")
    first = services.models.register(admin, "run_1", trained_bundle, "tiny")
    before = state_of(stored)
    again = services.models.register(admin, "run_1", trained_bundle, "tiny")
    assert again == first
    assert state_of(stored) == before
    assert serving(client) == [first.id]


def test_a_bundle_with_a_pickle_is_refused(services: Any, bundle_copy: Path, stored: Stored) -> None:
    (bundle_copy / "models" / "model.pt").write_bytes(b"\x80\x04.")
    admin = services.access.operator("default")
    before = state_of(stored)
    with pytest.raises(InvalidBundle):
        services.models.register(admin, None, bundle_copy, "tiny")
    assert state_of(stored) == before
    assert list(services.ground.settings.models_folder.glob("*")) == []


def test_each_change_is_in_the_trail_once(client: httpx.Client, new_model: NewModel) -> None:
    first, second = new_model(), new_model()
    client.post(f"/models/{second}/promote")
    client.post("/models/rollback")

    def trail(model: str) -> list[str]:
        return [
            e["action"] for e in client.get("/audit", params={"object_id": model, "result": "changed"}).json()["items"]
        ]

    assert trail(second) == ["model.promote", "model.register"]
    assert sorted(trail(first)) == ["model.first", "model.register", "model.rollback"]


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_models_that_nobody_asks_any_more_leave_memory(client: httpx.Client, case: str, new_model: NewModel) -> None:
    before = threading.active_count()
    for _ in range(LOADED + 2):
        client.post(f"/cases/{case}/predictions", json={"model": new_model()}).raise_for_status()
    wait_until(lambda: threads_named("model") <= LOADED)  # a thread ends a moment after its model is let go
    wait_until(lambda: threading.active_count() <= before + LOADED + 2)


def test_a_starting_server_is_ready_when_what_serves_is_loaded(
    client: httpx.Client, server_url: str, services: Any, new_model: NewModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, damaged = new_model(), new_model("another hospital")
    (services.models.bundle_folder(damaged) / "models" / "model.safetensors").unlink()
    may_load, load = threading.Event(), Models.predictor

    def slow(self: Models, model_id: str) -> Any:
        assert may_load.wait(20)
        return load(self, model_id)

    monkeypatch.setattr(Models, "predictor", slow)
    services.models.warm_up()
    answer = httpx.get(f"{server_url}/readyz")
    assert (answer.status_code, answer.json()["checks"]["model"]["state"]) == (503, "fail")
    may_load.set()
    wait_until(lambda: httpx.get(f"{server_url}/readyz").status_code == 200)
    assert services.models.is_loaded(model)
    assert not services.models.is_loaded(damaged)


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def threads_named(name: str) -> int:
    return sum(thread.name == name for thread in threading.enumerate())
