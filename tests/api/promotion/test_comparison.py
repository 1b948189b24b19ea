"""A new model is compared with the one that serves; what the comparison says is kept, shown and heeded."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.promotion import service
from clinical_mm.case import Case
from tests.api.stored import Stored, state_of

NewModel = Callable[..., str]
ClientAs = Callable[[str], httpx.Client]
REJECTED = {"outcome": "reject", "reasons": ["worse: macro AUROC -0.100 [-0.200 to -0.050] on 80 cases"]}


@pytest.fixture
def says_of_both(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], list[tuple[Path, ...]]]:
    """Lets the comparison come out as a test wants; gives what it was asked to compare."""

    def say(result: dict[str, Any]) -> list[tuple[Path, ...]]:
        asked: list[tuple[Path, ...]] = []

        def compared(_settings: Any, *folders: Path) -> dict[str, Any]:
            asked.append(folders)
            return result

        monkeypatch.setattr(service, "compared", compared)
        return asked

    return say


def serving(client: httpx.Client) -> list[str]:
    return [m["id"] for m in client.get("/models").json()["items"] if m["serving"]]


@pytest.mark.slow
@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_two_models_are_really_compared_on_the_stored_cases(
    client: httpx.Client, services: Any, new_model: NewModel, phantom_cases: list[Case]
) -> None:
    first, second = new_model(), new_model()
    admin = services.access.operator("default")
    for number, case in enumerate(phantom_cases[:20]):
        services.cases.submit_case(admin, replace(case, external_id=f"acc-{number}"))
    answer = client.post(f"/models/{second}/comparison")
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert (told["model"], told["champion"], told["outcome"]) == (second, first, "hold")
    assert told["reasons"] == ["no labelled case is left that neither model has learned from: a person decides"]
    assert client.get(f"/models/{second}/comparison").json() == told
    assert list(services.ground.settings.runs_folder.glob("comparison*")) == [], "no copy of a case stays"


def test_a_model_that_was_not_compared_says_how_to(client: httpx.Client, new_model: NewModel) -> None:
    model = new_model()
    answer = client.get(f"/models/{model}/comparison")
    assert (answer.status_code, answer.json()["detail"]) == (
        404,
        f"model {model} has not been compared: POST /v1/models/{model}/comparison",
    )


def test_a_model_that_serves_is_compared_with_nothing(client: httpx.Client, new_model: NewModel) -> None:
    assert client.post(f"/models/{new_model()}/comparison").status_code == 409


def test_a_rejected_model_serves_only_where_a_reason_is_given_which_is_kept(
    client: httpx.Client, new_model: NewModel, says_of_both: Any, stored: Stored
) -> None:
    says_of_both(REJECTED)
    first, second = new_model(), new_model()
    client.post(f"/models/{second}/comparison").raise_for_status()
    before = state_of(stored)
    answer = client.post(f"/models/{second}/promote")
    assert answer.status_code == 409
    assert "worse: macro AUROC -0.100" in answer.json()["detail"]
    assert (state_of(stored), serving(client)) == (before, [first])
    client.post(f"/models/{second}/promote", json={"reason": "the labels of May were wrong"}).raise_for_status()
    assert serving(client) == [second]
    [event] = client.get("/audit", params={"action": "model.promote", "result": "changed"}).json()["items"]
    assert event["object_id"] == second


def test_where_the_policy_says_promote_it_serves_at_once(
    client: httpx.Client, new_model: NewModel, says_of_both: Any
) -> None:
    says_of_both({"outcome": "promote", "reasons": ["better: macro AUROC +0.050 [+0.010 to +0.090] on 300 cases"]})
    first, second = new_model(), new_model()
    client.post(f"/models/{second}/comparison").raise_for_status()
    assert serving(client) == [second]
    assert client.post("/models/rollback").json()["id"] == first


def test_a_policy_s_promotion_replaces_only_the_model_it_was_compared_with(
    client: httpx.Client, services: Any, new_model: NewModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, second, third = new_model(), new_model(), new_model()

    def compared(*_: Any) -> dict[str, Any]:
        client.post(f"/models/{third}/promote").raise_for_status()  # meanwhile a person decides otherwise
        return {"outcome": "promote", "reasons": ["better"]}

    monkeypatch.setattr(service, "compared", compared)
    client.post(f"/models/{second}/comparison").raise_for_status()
    assert serving(client) == [third]


def test_a_run_is_judged_once_however_often_its_step_is_repeated(
    services: Any, new_model: NewModel, says_of_both: Any, tmp_path: Path
) -> None:
    asked = says_of_both(REJECTED)
    new_model()
    second, admin = new_model(), services.access.operator("default")
    first = services.promotions.judge(admin, second, tmp_path, "run_1")
    assert services.promotions.judge(admin, second, tmp_path, "run_1") == first
    assert len(asked) == 1


def test_only_a_trainer_of_the_project_compares_and_only_an_admin_promotes(
    client_as: ClientAs, new_model: NewModel, says_of_both: Any, stored: Stored
) -> None:
    says_of_both(REJECTED)
    new_model()
    second = new_model()
    before = state_of(stored)
    assert client_as("clinician").post(f"/models/{second}/comparison").status_code == 403
    assert client_as("stranger").post(f"/models/{second}/comparison").status_code == 404
    assert client_as("stranger").get(f"/models/{second}/comparison").status_code == 404
    assert state_of(stored) == before
    assert client_as("trainer").post(f"/models/{second}/comparison").status_code == 201
    assert client_as("trainer").post(f"/models/{second}/promote", json={"reason": "mine"}).status_code == 403


def test_a_comparison_that_fails_holds_the_model_and_says_why(
    services: Any, client: httpx.Client, new_model: NewModel
) -> None:
    new_model()
    second = new_model()
    (services.models.bundle_folder(second) / "docs/split.json").unlink()
    decision = services.promotions.judge(services.access.operator("default"), second, Path("/nowhere"))
    assert decision.outcome == "hold"
    assert "the models could not be compared: " in decision.reasons[0]


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_blanks_are_no_reason(client: httpx.Client, new_model: NewModel, says_of_both: Any) -> None:
    says_of_both(REJECTED)
    new_model()
    second = new_model()
    client.post(f"/models/{second}/comparison").raise_for_status()
    assert client.post(f"/models/{second}/promote", json={"reason": "   "}).status_code == 409


def test_a_comparison_ends_with_the_process_that_asked_for_it(tmp_path: Path) -> None:
    gone = ["--with-parent", "1", "--champion", ".", "--challenger", ".", "--cases", ".", "--out", str(tmp_path / "x")]
    done = subprocess.run([sys.executable, "-m", "clinical_mm.promotion", *gone], check=False)
    assert done.returncode == 143
    assert not (tmp_path / "x").exists()
