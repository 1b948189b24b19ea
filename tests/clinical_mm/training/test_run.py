"""Training: reproducible, resumable after ``kill -9``, honest about too little data."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from clinical_mm.config import ModelConfig, TrainingConfig
from clinical_mm.errors import Cancelled, NotEnoughData
from clinical_mm.importing.folder import write_folder
from clinical_mm.phantom import draw
from clinical_mm.training.progress import Progress
from clinical_mm.training.repeat import compare, recipe_of
from clinical_mm.training.run import TrainedModel, train
from tests.models import phantom_folder, tiny_config

NOTE_AND_VITALS = {
    "text": {"model": "minilm", "max_tokens": 64, "stride": 16, "layers": 1, "frozen": True},
    "vitals": {"width": 16},
}


def light(**training: Any) -> ModelConfig:
    """Without images: quick enough to be trained many times."""
    options = {"epochs": 3, "batch_size": 16, "learning_rate": 0.003, **training}
    return tiny_config(modalities=NOTE_AND_VITALS, training=options)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phantom_folder(tmp_path_factory.mktemp("snapshot"))


def quietly(config: ModelConfig, snapshot: Path, out: Path, **options: Any) -> TrainedModel:
    return train(config, snapshot, out, device="cpu", **{"progress": lambda _: None, **options})


def test_the_same_seed_gives_the_same_metrics_and_another_does_not(snapshot: Path, tmp_path: Path) -> None:
    one, same = (quietly(light(), snapshot, tmp_path / name) for name in ("one", "same"))
    other = quietly(light(seed=1), snapshot, tmp_path / "other")
    assert one.metrics == same.metrics
    assert one.metrics["history"] != other.metrics["history"]


@pytest.mark.slow
def test_the_same_snapshot_configuration_and_seed_give_the_same_bytes(snapshot: Path, tmp_path: Path) -> None:
    """Through every encoder, with augmented pictures, dropout and adapters."""
    parts = tiny_config().modalities
    text = {
        **{k: v for k, v in parts["text"].items() if k != "frozen"},
        "learns": "lora",
        "lora": {"rank": 2, "alpha": 4},
    }
    config = tiny_config(modalities={**parts, "text": text}, training={"epochs": 2, "batch_size": 16})
    one, again = (quietly(config, snapshot, tmp_path / name) for name in ("one", "again"))
    assert weights_of(one) == weights_of(again)
    assert one.metrics == again.metrics
    other = quietly(
        config.model_copy(update={"training": TrainingConfig(seed=1, epochs=2)}), snapshot, tmp_path / "other"
    )
    assert weights_of(other) != weights_of(one)


def test_the_card_tells_under_what_circumstances_it_was_trained(snapshot: Path, tmp_path: Path) -> None:
    card = quietly(light(epochs=1), snapshot, tmp_path).card
    told = card["circumstances"]
    assert (told["device"], told["threads"]) == ("cpu", torch.get_num_threads())
    assert told["deterministic_algorithms"]
    assert not torch.are_deterministic_algorithms_enabled(), "a caller's own setting is put back"
    assert {"torch", "peft", "python"} <= card["versions"].keys()
    assert card["training"]["seed"] == 0


def test_a_training_repeated_from_its_bundle_is_the_same_and_says_so(tmp_path: Path) -> None:
    """Exclusive diagnoses leave cases out: they are part of the recipe, since the split followed from all of them."""
    task = {"kind": "exclusive", "diagnoses": ["pneumonia", "heart-failure"]}
    config = tiny_config(modalities=NOTE_AND_VITALS, task=task, training={"epochs": 2})
    cases = [replace(d.case, id=f"case_{n:03}") for n, d in enumerate(draw(80, 0))]
    write_folder(cases, tmp_path / "snapshot")
    first = quietly(config, tmp_path / "snapshot", tmp_path / "first")
    recipe = recipe_of(first.folder)
    assert recipe.config == config
    assert sorted(recipe.cases) == [case.id for case in cases]
    assert recipe.parts["left_out"]

    again = quietly(recipe.config, tmp_path / "snapshot", tmp_path / "again", parts=recipe.parts)
    assert weights_of(again) == weights_of(first)
    assert compare(first.card, again.card) == ["the cases and their labels are the same", "metrics are equal"]

    gone = recipe.parts["train"][:3]
    write_folder((case for case in cases if case.id not in gone), tmp_path / "fewer")
    fewer = quietly(recipe.config, tmp_path / "fewer", tmp_path / "third", parts=recipe.parts)
    kept = json.loads((fewer.folder / "docs/split.json").read_text(encoding="utf-8"))
    assert kept["train"] == recipe.parts["train"][3:]
    assert (kept["validation"], kept["test"]) == (recipe.parts["validation"], recipe.parts["test"])
    told = compare(first.card, fewer.card, gone)
    assert told[0] == f"3 of its cases are gone since, or no longer labelled: {', '.join(gone)}"
    assert told[-1].startswith("metrics differ: ")


def weights_of(made: TrainedModel) -> bytes:
    return (made.folder / "models/model.safetensors").read_bytes()


def test_progress_names_every_stage_and_never_goes_back(snapshot: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    quietly(light(), snapshot, tmp_path, progress=told.append)
    stages = list(dict.fromkeys(p.stage for p in told))
    assert stages == ["reading", "features", "training", "calibrating", "evaluating", "explaining", "saving"]
    fractions = [p.fraction for p in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


def test_cancelling_stops_between_batches_and_a_new_start_goes_on(snapshot: Path, tmp_path: Path) -> None:
    asked = iter([False] * 7 + [True])
    with pytest.raises(Cancelled):
        quietly(light(), snapshot, tmp_path, cancelled=lambda: next(asked))
    assert quietly(light(), snapshot, tmp_path).metrics["epochs"] == 3


@pytest.mark.slow
def test_a_run_killed_in_the_middle_ends_where_an_uninterrupted_one_does(snapshot: Path, tmp_path: Path) -> None:
    config = light(epochs=8, patience=8)
    (tmp_path / "config.json").write_text(config.model_dump_json(), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "clinical_mm.training",
        "--config",
        str(tmp_path / "config.json"),
        "--device",
        "cpu",
    ]
    command += ["--snapshot", str(snapshot), "--out"]

    victim = subprocess.Popen([*command, str(tmp_path / "killed")])
    wait_for_epoch(tmp_path / "killed", 3, victim)
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    assert not (tmp_path / "killed" / "bundle").exists()

    for name in ("killed", "whole"):
        subprocess.run([*command, str(tmp_path / name)], check=True)
    killed, whole = (load_file(tmp_path / n / "bundle/models/model.safetensors") for n in ("killed", "whole"))
    assert all(killed[key].equal(whole[key]) for key in whole)


def wait_for_epoch(out: Path, epoch: int, process: subprocess.Popen[bytes]) -> None:
    state = out / "checkpoint" / "state.json"
    while process.poll() is None:
        try:
            if json.loads(state.read_text(encoding="utf-8"))["position"]["epoch"] >= epoch:
                return
        except FileNotFoundError:
            pass
        time.sleep(0.01)
    raise AssertionError("the training ended before it could be killed")


def test_a_training_process_says_in_one_line_why_it_failed(tmp_path: Path) -> None:
    phantom_folder(tmp_path / "few", count=4)
    command = [sys.executable, "-m", "clinical_mm.training", "--config", "small", "--snapshot", str(tmp_path / "few")]
    answer = subprocess.run([*command, "--out", str(tmp_path / "out")], capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    *stages, why = answer.stderr.strip().splitlines()
    assert "4 labelled cases that fit the task; it takes at least 12" in why
    assert [line.partition("Z ")[2] for line in stages] == ["reading"]


def test_an_exclusive_model_gives_probabilities_that_sum_to_one(tmp_path: Path) -> None:
    from clinical_mm.predictor import load_model

    snapshot = phantom_folder(tmp_path / "snapshot", count=80)
    task = {"kind": "exclusive", "diagnoses": ["pneumonia", "heart-failure"]}
    config = tiny_config(modalities=NOTE_AND_VITALS, task=task, training={"epochs": 2})
    model = load_model(quietly(config, snapshot, tmp_path / "out").folder, device="cpu")
    case = next(d.case for d in draw(20, seed=9) if d.case.note and d.case.vitals)
    assert sum(d.probability for d in model.predict([case])[0].diagnoses) == pytest.approx(1)
    account = model.explain(case, "pneumonia")
    assert sum(c.contribution for c in account.contributions) == pytest.approx(
        account.value - account.baseline_value, abs=0.05
    )


@pytest.mark.parametrize("labels", [(), ("pneumonia",)])
def test_nothing_to_tell_apart_is_said(tmp_path: Path, labels: tuple[str, ...]) -> None:
    cases = (replace(drawn.case, diagnoses=labels) for drawn in draw(20, seed=2))
    write_folder(cases, tmp_path / "snapshot")
    with pytest.raises(NotEnoughData, match="nothing to tell apart"):
        quietly(light(), tmp_path / "snapshot", tmp_path / "out")


def test_a_batch_in_which_no_case_has_a_note_is_no_trouble_for_a_frozen_encoder(tmp_path: Path) -> None:
    cases = [d.case for d in draw(40, seed=3) if len(d.case.vitals) > 3]
    noteless = [replace(case, note=None, images=()) for case in cases]
    write_folder([*[replace(case, images=()) for case in cases[:4]], *noteless[4:]], tmp_path / "snapshot")
    config = tiny_config(
        modalities={"text": {"model": "minilm", "max_tokens": 64, "stride": 16, "layers": 1}, "vitals": {"width": 16}},
        training={"epochs": 1, "batch_size": 2},
    )
    made = train(config, tmp_path / "snapshot", tmp_path / "out", device="cpu", progress=lambda _: None)
    assert made.metrics["epochs"] == 1
