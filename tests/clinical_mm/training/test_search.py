"""A search before the training: it finds what is better, sees no test case, and outlives its process."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.exceptions import StorageInternalError

from clinical_mm.bundle_layout import CARD, SPLIT, read_json
from clinical_mm.case import Case
from clinical_mm.catalogue import Catalogue
from clinical_mm.config import ModelConfig
from clinical_mm.errors import Cancelled, InvalidConfig, NotEnoughData
from clinical_mm.importing.folder import folder_sha256, whole_folder, write_folder
from clinical_mm.phantom import draw
from clinical_mm.training import trials as trials_module
from clinical_mm.training.prepared import Preparations
from clinical_mm.training.progress import Progress, Reporter
from clinical_mm.training.repeat import recipe_of
from clinical_mm.training.reproducible import reproducible
from clinical_mm.training.request import Request
from clinical_mm.training.run import TrainedModel, _search, train
from clinical_mm.training.trials import Storage, Trials, kept_trials
from tests.models import CASES, phantom_folder, tiny_config

NOTE_AND_VITALS = {
    "text": {"model": "minilm", "max_tokens": 64, "stride": 16, "layers": 1, "frozen": True},
    "vitals": {"width": 16},
}
GOOD, HOPELESS = 0.01, 1e-7


def light(space: dict[str, Any], trials: int, **options: Any) -> ModelConfig:
    """Vitals alone, if nothing else is said: a trial takes a fraction of a second."""
    training = {"epochs": 3, "batch_size": 16, "learning_rate": GOOD, "encoder_learning_rate": GOOD}
    return tiny_config(
        modalities=options.pop("modalities", {"vitals": {"width": 16}}),
        fusion={"name": "concat", "options": {"width": 16}},
        training=training | options.pop("training", {}),
        search={"trials": trials, "space": space, **options},
    )


RATES = {
    "training.learning_rate": {"choices": [HOPELESS, GOOD]},
    "training.weight_decay": {"low": 0.001, "high": 0.1, "log": True},
    "training.batch_size": {"low": 8, "high": 24, "step": 8},
    "modalities.vitals.width": {"choices": [8, 16]},
}


def only_searched(
    config: ModelConfig,
    snapshot: Path,
    out: Path,
    tell: Callable[[Progress], None] = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """The account of a search, without the training and the evaluation that follow it."""
    storage = Storage.file(out / "search" / "trials.db")
    request = Request(config, snapshot, out, Catalogue.load(), "cpu", None, {}, storage)
    preparations = Preparations(whole_folder(request.snapshot, request.catalogue), request.catalogue)
    reporter = Reporter(tell, 1, config.search.trials)
    with reproducible():
        return _search(
            request, preparations, folder_sha256(snapshot, preparations.everything), reporter, cancelled
        ).account


def weights_of(made: TrainedModel) -> bytes:
    return (made.folder / "models/model.safetensors").read_bytes()


def without_times(account: dict[str, Any]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in account["table"]]


def name_of_its(case: Case) -> str:
    return case.id or case.external_id or case.patient.id


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phantom_folder(tmp_path_factory.mktemp("snapshot"))


@pytest.fixture(scope="module")
def told() -> list[Progress]:
    return []


@pytest.fixture(scope="module")
def found(snapshot: Path, tmp_path_factory: pytest.TempPathFactory, told: list[Progress]) -> TrainedModel:
    """Sixteen trials of which some are pruned, and the model that came of them."""
    out = tmp_path_factory.mktemp("found")
    return train(with_notes(16), snapshot, out, device="cpu", progress=told.append)


def with_notes(trials: int) -> ModelConfig:
    return light(RATES, trials, modalities=NOTE_AND_VITALS, startup_trials=4, warmup_epochs=0, metric="validation_loss")


def test_the_better_of_two_learning_rates_is_found_and_told_to_have_mattered(found: TrainedModel) -> None:
    account = found.card["search"]
    assert account["best"]["values"]["training.learning_rate"] == GOOD
    scores = [row["score"] for row in account["table"] if row["state"] == "complete"]
    assert account["best"]["score"] == min(scores)
    assert account["own"]["values"] == account["table"][0]["values"], "the first trial is the baseline"
    assert account["best"]["score"] <= account["own"]["score"]
    assert sum(account["importance"].values()) == pytest.approx(1, abs=1e-3)
    assert set(account["importance"]) == set(RATES)


def test_trials_that_fall_behind_are_pruned_before_their_last_epoch(found: TrainedModel) -> None:
    account = found.card["search"]
    pruned = [row for row in account["table"] if row["state"] == "pruned"]
    assert pruned
    assert all(row["epochs"] < 3 for row in pruned)
    assert len(pruned) == account["trials"]["pruned"]
    assert sum(account["trials"].values()) == len(account["table"]) == 16
    assert all(row["state"] == "complete" for row in account["table"][:4]), "none before there is something to compare"


def test_nothing_of_a_trial_stays_but_its_account(found: TrainedModel) -> None:
    assert [path.name for path in (found.folder.parent / "search").iterdir()] == ["trials.db"]


def test_the_final_model_is_what_its_values_alone_give_and_repeats_without_a_search(
    found: TrainedModel, snapshot: Path, tmp_path: Path
) -> None:
    recipe = recipe_of(found.folder)
    assert recipe.config.search.trials == 0
    assert recipe.config.training.learning_rate == GOOD
    again = train(recipe.config, snapshot, tmp_path, device="cpu", parts=recipe.parts, progress=lambda _: None)
    assert weights_of(again) == weights_of(found)
    assert "search" not in again.card


def test_progress_tells_the_trial_and_the_best_so_far_and_never_goes_back(
    found: TrainedModel, told: list[Progress]
) -> None:
    searching = [p for p in told if p.stage == "searching"]
    trials = [p.metrics["trial"] for p in searching if p.metrics]  # one that is over in no time may go untold
    assert trials == sorted(trials)
    assert len(set(trials)) > 3
    assert {p.metrics["trials"] for p in searching if p.metrics} == {16}
    best = [p.metrics["best"] for p in searching if "best" in p.metrics]
    assert best == sorted(best, reverse=True)
    assert best[-1] <= best[0]
    fractions = [p.fraction for p in told]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0, 1)
    assert list(dict.fromkeys(p.stage for p in told))[:2] == ["searching", "training"]


def test_what_the_test_part_holds_changes_nothing(found: TrainedModel, snapshot: Path, tmp_path: Path) -> None:
    """Notes and labels of the test part are dealt out anew among its cases: each trial scores as it did."""
    names = set(read_json(found.folder / SPLIT)["test"])
    cases = [drawn.case for drawn in draw(CASES, 0)]
    tested = [case for case in cases if name_of_its(case) in names]
    dealt = random.Random(1).sample(tested, len(tested))
    swapped = {a.patient.id: (b.diagnoses, b.note, b.vitals) for a, b in zip(tested, dealt, strict=True)}
    changed = [
        case
        if case.patient.id not in swapped
        else replace(case, **dict(zip(("diagnoses", "note", "vitals"), swapped[case.patient.id], strict=True)))
        for case in cases
    ]
    write_folder(changed, tmp_path / "snapshot")
    other = whole_folder(tmp_path / "snapshot", Catalogue.load())
    assert folder_sha256(tmp_path / "snapshot", other) != found.card["data"]["snapshot_sha256"]
    other = only_searched(with_notes(4), tmp_path / "snapshot", tmp_path / "out")
    assert without_times(other) == without_times(found.card["search"])[:4]


def test_a_trial_that_diverges_has_failed_and_the_search_goes_on(snapshot: Path, tmp_path: Path) -> None:
    space = {"training.learning_rate": {"choices": [GOOD, 1e30]}}
    account = only_searched(light(space, 3), snapshot, tmp_path)
    failed = [row for row in account["table"] if row["state"] == "failed"]
    assert failed
    assert "diverged" in failed[0]["reason"]
    assert account["best"]["values"] == {"training.learning_rate": GOOD}
    assert account["importance"] is None, "too few trials to say"


def test_more_trials_go_on_with_those_there_are_and_another_snapshot_begins_anew(
    snapshot: Path, tmp_path: Path
) -> None:
    first = only_searched(light(RATES, 2), snapshot, tmp_path / "out")["table"]
    second = only_searched(light(RATES, 3), snapshot, tmp_path / "out")["table"]
    assert second[:2] == first, "seconds too: they were not tried again"
    phantom_folder(tmp_path / "other", seed=1)
    third = only_searched(light(RATES, 2), tmp_path / "other", tmp_path / "out")["table"]
    assert [row["score"] for row in third] != [row["score"] for row in first]


def test_a_misspelt_option_of_a_fusion_is_told_before_the_first_trial(snapshot: Path, tmp_path: Path) -> None:
    space = {"fusion.options.widht": {"choices": [8, 16]}}
    told: list[Progress] = []
    with pytest.raises(InvalidConfig, match=r"fusion\.options\.widht = 8 does not fit"):
        only_searched(light(space, 2), snapshot, tmp_path, told.append)
    assert told == []


def test_validation_cases_that_are_all_alike_are_no_measure(found: TrainedModel, tmp_path: Path) -> None:
    names = set(read_json(found.folder / SPLIT)["validation"])
    drawn = [d.case for d in draw(CASES, 0)]
    write_folder((replace(c, diagnoses=()) if name_of_its(c) in names else c for c in drawn), tmp_path / "alike")
    with pytest.raises(NotEnoughData, match="search by metric: validation_loss"):
        only_searched(light(RATES, 2), tmp_path / "alike", tmp_path / "out")


def test_cancelling_stops_within_a_trial_and_a_new_start_tries_it_again(snapshot: Path, tmp_path: Path) -> None:
    whole = only_searched(light(RATES, 3), snapshot, tmp_path / "whole")
    asked = iter([False] * 15)
    with pytest.raises(Cancelled):
        only_searched(light(RATES, 3), snapshot, tmp_path / "cut", cancelled=lambda: next(asked, True))
    assert not (tmp_path / "cut" / "search" / "trial").exists()
    resumed = only_searched(light(RATES, 3), snapshot, tmp_path / "cut")
    assert resumed["interrupted"] == 1
    assert without_times(resumed) == without_times(whole)


@pytest.mark.slow
def test_a_search_killed_in_a_trial_ends_where_an_uninterrupted_one_does(snapshot: Path, tmp_path: Path) -> None:
    config, out = (
        light(RATES, 6, startup_trials=2, pruning=False, training={"epochs": 8, "patience": 8}),
        tmp_path / "killed",
    )
    (tmp_path / "config.json").write_text(config.model_dump_json(), encoding="utf-8")
    command = [sys.executable, "-m", "clinical_mm.training", "--config", str(tmp_path / "config.json")]
    command += ["--device", "cpu", "--snapshot", str(snapshot), "--out", str(out)]

    victim = subprocess.Popen(command)
    wait_for_trial(out / "progress.jsonl", 3, victim)
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    before = kept(out, config, snapshot)
    assert 2 <= len(before) < 6

    resumed = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "optuna" not in (resumed.stdout + resumed.stderr).lower(), "the library's own chatter is nobody's"
    account = read_json(out / "bundle" / CARD)["search"]
    assert [row["seconds"] for row in account["table"][: len(before)]] == before, "what had ended was not tried again"
    assert without_times(account) == without_times(only_searched(config, snapshot, tmp_path / "whole"))


def wait_for_trial(lines: Path, number: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        told = lines.read_text(encoding="utf-8").splitlines()[:-1] if lines.exists() else []
        if any(json.loads(line)["metrics"].get("trial", 0) >= number for line in told):
            return
        time.sleep(0.005)
    raise AssertionError("the search ended before it could be killed")


def kept(out: Path, config: ModelConfig, snapshot: Path) -> list[float]:
    """Seconds of the trials that had come to their end."""
    import optuna

    storage = Storage.file(out / "search" / "trials.db")
    [name] = optuna.get_all_study_names(storage.url)
    with kept_trials(replace(storage, study=name), config, lambda: False) as trials:
        return [t.user_attrs["seconds"] for t in trials.over()]


@pytest.fixture
def trials(tmp_path: Path) -> Iterator[Trials]:
    """A search of which nothing is known yet."""
    with kept_trials(Storage.file(tmp_path / "trials.db"), light(RATES, 4, startup_trials=3), lambda: False) as opened:
        yield opened


def test_the_same_seed_draws_the_same_whatever_was_cut_off_in_between(trials: Trials, tmp_path: Path) -> None:
    def drawn(opened: Trials, cut_off: int) -> list[dict[str, Any]]:
        values = []
        for score in np.linspace(0.5, 0.9, 6):
            for _ in range(cut_off):
                opened.begin()
            trial = opened.begin()
            values.append(opened.values(trial))
            opened.end(trial, float(score), {})
        return values

    with kept_trials(Storage.file(tmp_path / "other.db"), light(RATES, 4, startup_trials=3), lambda: False) as other:
        assert drawn(trials, 0) == drawn(other, 1)
    with kept_trials(
        Storage.file(tmp_path / "seed.db"), light(RATES, 4, startup_trials=3, training={"seed": 1}), lambda: False
    ) as seeded:
        assert drawn(seeded, 0) != [trials.values(t) for t in trials.over()]


def test_a_storage_that_is_away_for_a_while_is_waited_for(trials: Trials, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials_module, "WAITS_S", (0.01, 0.01))
    answers = iter([StorageInternalError("away"), StorageInternalError("away")])
    real = trials.study.get_trials

    def away(*arguments: Any, **options: Any) -> Any:
        error = next(answers, None)
        if error is not None:
            raise error
        return real(*arguments, **options)

    monkeypatch.setattr(trials.study, "get_trials", away)
    assert trials.over() == []
    answers = iter([StorageInternalError("away")] * 3)
    with pytest.raises(ConnectionError, match="start the run again, it goes on at its last trial"):
        trials.over()
