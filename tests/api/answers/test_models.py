"""The registry: the first model serves, later ones are held, and going back is one call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from clinical_mm.errors import InvalidBundle


@pytest.fixture
def second(services: Any, model_id: str, trained_bundle: Path) -> str:
    return str(services.models.register(services.access.operator("default"), None, trained_bundle, "tiny").id)


def serving(client: httpx.Client) -> str:
    return str(next(m["id"] for m in client.get("/models").json()["items"] if m["serving"]))


def test_the_first_model_serves_at_once_and_the_second_is_held(
    client: httpx.Client, model_id: str, second: str
) -> None:
    assert serving(client) == model_id
    assert [m["id"] for m in client.get("/models").json()["items"]] == [second, model_id]


def test_promotion_and_rollback_take_effect_with_the_next_answer(
    client: httpx.Client, model_id: str, second: str, case_id: str
) -> None:
    def asked() -> str:
        return str(client.post(f"/cases/{case_id}/predictions").json()["model"])

    assert asked() == model_id
    client.post(f"/models/{second}/promote").raise_for_status()
    assert asked() == second
    client.post("/models/rollback").raise_for_status()
    assert asked() == model_id
    assert client.post("/models/rollback").status_code == 409


def test_a_model_can_be_asked_by_name_while_another_serves(
    client: httpx.Client, model_id: str, second: str, case_id: str
) -> None:
    answer = client.post(f"/cases/{case_id}/predictions", json={"model": second}).json()
    assert answer["model"] == second
    assert serving(client) == model_id


def test_a_model_carries_card_snapshot_and_metrics_with_intervals(client: httpx.Client, model_id: str) -> None:
    model = client.get(f"/models/{model_id}").json()
    assert "never makes one" in model["card"]["intended_use"]
    assert len(model["snapshot_sha256"]) == len(model["weights_sha256"]) == 64
    assert {"value", "low", "high"} <= set(model["metrics"]["test"]["macro_auroc"])
    assert model["headline"].startswith("macro AUROC")


def test_only_an_admin_promotes_and_strangers_see_nothing(
    client_as: Callable[[str], httpx.Client], second: str, model_id: str
) -> None:
    assert client_as("trainer").post(f"/models/{second}/promote").status_code == 403
    assert client_as("stranger").get(f"/models/{second}").status_code == 404
    assert client_as("stranger").post(f"/models/{second}/promote").status_code == 404
    assert client_as("stranger").get("/models").json()["items"] == []


def test_every_change_of_the_serving_model_is_in_the_trail(client: httpx.Client, model_id: str, second: str) -> None:
    client.post(f"/models/{second}/promote").raise_for_status()
    client.post("/models/rollback").raise_for_status()
    actions = [e["action"] for e in client.get("/audit").json()["items"] if e["object_type"] == "model"]
    assert actions[:2] == ["model.rollback", "model.promote"]
    assert "model.first" in actions


def test_a_bundle_with_a_pickle_is_not_registered(services: Any, bundle_copy: Path) -> None:
    (bundle_copy / "models" / "model.pt").write_bytes(b"\x80\x04.")
    with pytest.raises(InvalidBundle, match="pickle"):
        services.models.register(services.access.operator("default"), None, bundle_copy, "tiny")
    assert services.models.list(services.access.operator("default")) == []
