"""A search asked for over REST: kept in the service's database, told while it runs, shown with the model it made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, inspect, text

from api.cli.train import searched
from api.pages.training_page import _told
from api.settings import Settings
from api.training.job import TrainingJob
from api.training.record import RunRecord
from clinical_mm.phantom import draw
from clinical_mm.training.progress import Progress

SPACE = {
    "training.learning_rate": {"low": 0.001, "high": 0.1, "log": True},
    "fusion.name": {"choices": ["concat", "late"]},
}
SMALLEST = {
    "training.epochs": 1,
    "training.learning_rate": 0.01,
    "modalities": {"vitals": {"width": 16}},
    "fusion": {"name": "concat", "options": {"width": 16}},
}


@pytest.mark.slow
def test_a_search_ends_in_a_model_that_shows_its_best_and_what_mattered(
    client: httpx.Client, services: Any, settings: Settings, server_url: str, keys: dict[str, str]
) -> None:
    for number, drawn in enumerate(draw(60, 3)):
        services.cases.submit_case(
            services.access.operator("default"), replace(drawn.case, external_id=f"acc-{number}")
        )
    wanted = {**SMALLEST, "search.trials": 11, "search.space": SPACE, "search.pruning": False}
    asked = client.post("/training-runs", json={"config": "small", "set": wanted})
    assert asked.status_code == 202, asked.text
    run = asked.json()["id"]

    job = TrainingJob(services.ground, services.cases, services.models, services.promotions, run)
    assert job.record.begin()
    job.freeze()
    assert job.train() == "succeeded"
    job.register()
    job.tidy()

    [model] = client.get("/models").json()["items"]
    account = model["card"]["search"]
    assert (account["trials"], len(account["table"])) == ({"complete": 11, "pruned": 0, "failed": 0}, 11)
    assert account["best"]["score"] == max(row["score"] for row in account["table"])
    assert set(account["importance"]) == set(SPACE)
    assert model["card"]["training"]["learning_rate"] == account["best"]["values"]["training.learning_rate"]
    assert kept_trials_of(settings, services, run) == 11
    assert_shown(account, server_url, keys["viewer"], model["id"])
    assert_told(account, searched(model["card"]))


def kept_trials_of(settings: Settings, services: Any, run: str) -> int:
    """How many trials lie where an operator would look for them; the service's own tables are as they were."""
    ours = set(inspect(services.ground.database.engine).get_table_names())
    assert not {name for name in ours if name.startswith(("trial", "stud"))}
    file = settings.runs_folder / run / "out" / "search" / "trials.db"
    assert file.exists() == (settings.database_url == "")
    schema = "main" if file.exists() else "search"
    engine = create_engine(settings.database_url or f"sqlite:///{file}")
    try:
        with engine.connect() as connection:
            names = connection.execute(text(f"SELECT study_name FROM {schema}.studies")).scalars().all()
            assert [name.split()[0] for name in names] == ["search" if file.exists() else run]
            return int(connection.execute(text(f"SELECT count(*) FROM {schema}.trials")).scalar_one())
    finally:
        engine.dispose()


def assert_shown(account: dict[str, Any], server_url: str, key: str, model: str) -> None:
    page = httpx.get(f"{server_url}/models/{model}", headers={"Authorization": f"Bearer {key}"}).raise_for_status()
    section = page.text[page.text.index('id="search"') :]
    assert "Best validation AUROC" in section
    assert f"in trial {account['best']['trial']}" in section
    assert section.count("<svg") == len(SPACE), "a bar a value"
    assert "All 11 trials" in section
    assert "style=" not in section


def assert_told(account: dict[str, Any], lines: list[str]) -> None:
    assert lines[0].startswith("searched: 11 complete; best validation auroc 0.")
    assert f"  fusion.name = {account['best']['values']['fusion.name']}" in lines
    most = next(iter(account["importance"]))
    assert lines[-1].startswith(f"what mattered: {most} ")
    assert searched({}) == []


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"search.trials": 3}, "trials without a space"),
        ({"search.space": {"training.seed": {"low": 0, "high": 9}}}, "the best of several seeds is luck"),
        ({"search.space": {"training.pace": {"low": 0, "high": 9}}}, "no value of the configuration"),
    ],
)
def test_a_space_that_cannot_be_searched_is_422_with_the_reason(
    client: httpx.Client, changes: dict[str, Any], told: str
) -> None:
    answer = client.post("/training-runs", json={"config": "small", "set": changes})
    assert answer.status_code == 422
    assert told in answer.text


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_the_training_page_says_which_trial_and_the_best_so_far(client: httpx.Client, services: Any) -> None:
    run = client.post("/training-runs", json={"config": "search"}).json()["id"]
    record = RunRecord(services.ground, run)
    record.begin()
    record.progress(Progress("searching", 0.2, metrics={"trial": 5, "trials": 20, "best": 0.8731}).to_json())
    told = _told(services.training.get(services.access.operator("default"), run))
    assert told == "searching, trial 5 of 20, best 0.873"


@pytest.mark.parametrize("prepared", ["postgresql"], indirect=True)
def test_a_password_is_on_no_command_line(
    client: httpx.Client, services: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = client.post("/training-runs", json={"config": "search"}).json()["id"]
    job = TrainingJob(services.ground, services.cases, services.models, services.promotions, run)
    assert settings.database_url not in " ".join(job._command(settings.workspace))
    told = job._environment()["CLINICAL_MM_TRIALS_URL"]
    assert "search_path" in told
