"""What a training tells of itself is kept; a tracker that is away costs it nothing."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clinical_mm.errors import Cancelled
from clinical_mm.phantom import draw
from clinical_mm.training.run import train
from clinical_mm.training.trackers import errands
from clinical_mm.training.trackers.errands import Errands, Refused
from clinical_mm.training.trackers.flat import flat, measured
from clinical_mm.training.trackers.lines import Lines, read_lines
from clinical_mm.training.trackers.mlflow import TRACKING_URI, Mlflow
from tests.clinical_mm.training.test_run import wait_for_epoch
from tests.models import CASES, phantom_folder, tiny_config

VITALS = tiny_config(
    modalities={"vitals": {"width": 16}},
    fusion={"name": "concat", "options": {"width": 16}},
    training={"epochs": 4, "batch_size": 16},
)
ENDLESS = VITALS.model_copy(
    update={"training": VITALS.training.model_copy(update={"epochs": 100_000, "patience": 100_000})}
)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phantom_folder(tmp_path_factory.mktemp("snapshot"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URI of MLflow's own SQLite store, its artefacts beside it."""
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    MlflowClient(uri).create_experiment("clinical_mm", artifact_location=(folder / "artefacts").as_uri())
    return uri


def quietly(snapshot: Path, out: Path, tracker: Any, **options: Any) -> Any:
    return train(VITALS, snapshot, out, device="cpu", trackers=[tracker], progress=lambda _: None, **options)


def run_of(store: str, out: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(store).get_run(json.loads((out / "mlflow.json").read_text(encoding="utf-8"))["run_id"])


def losses_of(store: str, run: str, name: str) -> list[tuple[int, float]]:
    from mlflow import MlflowClient

    return [(m.step, m.value) for m in MlflowClient(store).get_metric_history(run, name)]


@pytest.mark.slow
def test_mlflow_holds_configuration_losses_measures_card_and_report_and_no_word_of_a_patient(
    snapshot: Path, tmp_path: Path, store: str
) -> None:
    made = quietly(snapshot, tmp_path, Mlflow(store, tmp_path, "run_1"))
    run = run_of(store, tmp_path)
    assert (run.info.run_name, run.info.status) == ("tiny run_1", "FINISHED")
    assert run.data.params["training.epochs"] == "4"
    assert run.data.params["modalities.vitals.width"] == "16"
    told = made.metrics["history"]
    assert losses_of(store, run.info.run_id, "validation_loss") == [(h["epoch"], h["validation_loss"]) for h in told]
    assert losses_of(store, run.info.run_id, "train_loss") == [(h["epoch"], h["train_loss"]) for h in told]
    test = made.metrics["test"]["macro_auroc"]
    assert run.data.metrics["test.macro_auroc"] == test["value"]
    assert run.data.metrics["test.macro_auroc.low"] == test["low"]
    data = made.card["data"]
    tags = {name.removeprefix("clinical_mm."): value for name, value in run.data.tags.items()}
    assert (tags["run"], tags["snapshot_sha256"]) == ("run_1", data["snapshot_sha256"])
    assert tags["manifest_sha256"] == data["manifest_sha256"]
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    assert json.loads((folder / "card.json").read_text(encoding="utf-8"))["data"] == data
    assert "<svg" in (folder / "report.html").read_text(encoding="utf-8")
    kept = [path.read_bytes() for path in folder.parents[2].rglob("*") if path.is_file()]
    cases = [drawn.case for drawn in draw(CASES, 0)]
    assert len(kept) >= 3
    assert [c.patient.id for c in cases if any(c.patient.id.encode() in part for part in kept)] == []
    assert [c.note for c in cases if c.note and any(c.note[:40].encode() in part for part in kept)] == []


@pytest.mark.slow
def test_a_training_that_goes_on_does_so_in_the_same_mlflow_run(snapshot: Path, tmp_path: Path, store: str) -> None:
    asked = iter([False] * 9 + [True])
    with pytest.raises(Cancelled):
        quietly(snapshot, tmp_path, Mlflow(store, tmp_path), cancelled=lambda: next(asked))
    first = run_of(store, tmp_path)
    assert first.info.status == "KILLED"
    assert 0 < len(losses_of(store, first.info.run_id, "train_loss")) < 4
    made = quietly(snapshot, tmp_path, Mlflow(store, tmp_path))
    second = run_of(store, tmp_path)
    assert (second.info.run_id, second.info.status) == (first.info.run_id, "FINISHED")
    assert [step for step, _ in losses_of(store, second.info.run_id, "train_loss")] == [1, 2, 3, 4]
    assert list(read_lines(tmp_path / "metrics.jsonl")["train_loss"]) == [1, 2, 3, 4]
    assert made.metrics["epochs"] == 4

    other = VITALS.model_copy(update={"training": VITALS.training.model_copy(update={"seed": 1})})
    train(other, snapshot, tmp_path, device="cpu", trackers=[Mlflow(store, tmp_path)], progress=lambda _: None)
    assert run_of(store, tmp_path).info.run_id != first.info.run_id, "another training is another run"


@pytest.mark.slow
def test_a_training_process_that_is_told_to_end_tells_so(snapshot: Path, tmp_path: Path, store: str) -> None:
    config, out = tmp_path / "config.json", tmp_path / "out"
    config.write_text(ENDLESS.model_dump_json(), encoding="utf-8")
    command = [sys.executable, "-m", "clinical_mm.training", "--config", str(config), "--device", "cpu"]
    command += ["--snapshot", str(snapshot), "--out", str(out), "--run-id", "run_2"]
    child = subprocess.Popen(command, env={**os.environ, TRACKING_URI: store})
    wait_for_epoch(out, 3, child)
    wait_until((out / "mlflow.json").exists)
    child.terminate()
    assert child.wait(timeout=20) == -signal.SIGTERM
    run = run_of(store, out)
    assert (run.info.status, run.data.tags["clinical_mm.run"]) == ("KILLED", "run_2")
    child = subprocess.Popen(command, env={**os.environ, TRACKING_URI: store})
    wait_until(lambda: run_of(store, out).info.status == "RUNNING")
    child.kill()
    child.wait()


def wait_until(true: Any) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def deaf() -> Iterator[str]:
    """The address of a server that takes a call and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://somebody:secret@127.0.0.1:{listener.getsockname()[1]}"


def test_a_server_that_never_answers_is_told_once_and_holds_nothing_up(
    snapshot: Path, tmp_path: Path, deaf: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setattr(errands, "PATIENCE_S", 3.0)
    started = time.monotonic()
    with caplog.at_level(logging.WARNING, "clinical_mm"):
        assert quietly(snapshot, tmp_path, Mlflow(deaf, tmp_path)).metrics["epochs"] == 4
    assert time.monotonic() - started < 60
    told = [r.getMessage() for r in caplog.records if r.getMessage().startswith("MLflow")]
    assert [line for line in told if "training goes on without" in line] == told[:1]
    assert told[1:] in ([], ["MLflow did not take everything in time: the rest is lost"])
    assert "secret" not in caplog.text
    assert "Retrying" not in caplog.text, "neither its libraries tell it again and again"


def test_without_the_extra_it_says_what_to_install_and_trains(
    snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with caplog.at_level(logging.WARNING, "clinical_mm"):
        assert quietly(snapshot, tmp_path, Mlflow("http://127.0.0.1:9", tmp_path)).metrics["epochs"] == 4
    [told] = [r.getMessage() for r in caplog.records if r.getMessage().startswith("MLflow")]
    assert "pip install 'clinical-mm[tracking]'" in told


def test_mlflow_s_own_telemetry_is_declined_even_where_somebody_imported_it_before(tmp_path: Path) -> None:
    code = f"""import mlflow
from clinical_mm.training.trackers.mlflow import _client, Mlflow
from pathlib import Path
before = mlflow.telemetry.get_telemetry_client()
Mlflow("http://127.0.0.1:9", Path({str(tmp_path)!r}))
_client("http://127.0.0.1:9")
print(before is None, mlflow.telemetry.get_telemetry_client() is None)"""
    bare = {
        name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ
    }  # MLflow is quiet in tests
    done = subprocess.run([sys.executable, "-c", code], env=bare, check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True"]


def test_calls_that_fail_are_made_again_in_their_order_and_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(errands, "RETRY_S", 0.02)
    done, faults = [], iter([OSError("away"), ConnectionError("still away")])

    def first() -> None:
        for fault in faults:
            raise fault
        done.append("first")

    def refused() -> None:
        raise Refused("no such thing")

    line = Errands("the notebook")
    for errand in (first, refused, lambda: done.append("last")):
        line.put(errand)
    line.finish()
    assert done == ["first", "last"]
    told = [r.getMessage() for r in caplog.records]
    assert told == [
        "the notebook does not answer, the training goes on without: OSError: away",
        "the notebook refuses: no such thing",
    ]


def test_nobody_waits_for_a_call_that_takes_its_time(caplog: pytest.LogCaptureFixture) -> None:
    gate = threading.Event()
    line, started = Errands("the notebook"), time.monotonic()
    line.put(lambda: gate.wait(60) and None)
    line.finish(0.1)
    assert time.monotonic() - started < 5
    assert caplog.records[-1].getMessage() == "the notebook did not take everything in time: the rest is lost"
    gate.set()


def test_event_files_for_tensorboard_hold_each_epoch_of_each_member(snapshot: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    training = VITALS.training.model_copy(update={"members": 2, "epochs": 2})
    config = VITALS.model_copy(update={"training": training})
    made = train(config, snapshot, tmp_path, device="cpu", progress=lambda _: None)
    for number, member in enumerate(made.metrics["members"]):
        events = EventAccumulator(str(tmp_path / "tensorboard" / f"member-{number}"))
        events.Reload()
        kept = [(event.step, event.value) for event in events.Scalars("validation_loss")]
        assert kept == [(h["epoch"], pytest.approx(h["validation_loss"], rel=1e-5)) for h in member["history"]]
        lines = read_lines(tmp_path / "metrics.jsonl")[f"member-{number}/validation_loss"]
        assert lines == {h["epoch"]: h["validation_loss"] for h in member["history"]}


def test_of_an_epoch_told_twice_the_later_counts_and_half_a_line_counts_nothing(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert read_lines(path) == {}
    lines = Lines(path)
    for step, loss in ((1, 0.5), (2, 0.4), (2, 0.3)):
        lines.metrics(step, {"train_loss": loss})
    with path.open("a", encoding="utf-8") as file:
        file.write('{"step": 3, "train_l')
    assert read_lines(path) == {"train_loss": {1: 0.5, 2: 0.3}}


def test_nested_values_are_told_by_dotted_names_and_only_numbers_are_measured() -> None:
    nested = {"auroc": {"value": 0.9, "low": 0.8, "high": None}, "cases": 7, "name": "x", "list": [1], "yes": True}
    assert flat({"a": {"b": {"c": 1}}, "d": [2]}) == {"a.b.c": 1, "d": [2]}
    assert measured({"test": nested}) == {"test.auroc": 0.9, "test.auroc.low": 0.8, "test.cases": 7.0}
