"""What a worker does for one run: freeze a snapshot, train in a process of its own, register the model.

Each step may be run again after a crash: a snapshot that is whole stays, training goes on at its last epoch, a model is
registered once a run.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from api.access.service import Caller, Role
from api.cases.service import Cases
from api.ground.ground import Ground
from api.ground.search import make_room_for_trials, trials_url
from api.models.service import Models
from api.promotion.service import Promotions
from api.reviews.teaching import write_snapshot
from api.training.record import RunRecord
from api.training.service import discard_working_files, forget_erased, who_teaches
from api.training.tables import TrainingRunRow
from clinical_mm.config import ModelConfig
from clinical_mm.errors import Cancelled
from clinical_mm.importing.folder import CASES
from clinical_mm.training.trackers.mlflow import TRACKING_URI
from clinical_mm.training.trials import TRIALS_URL
from clinical_mm.training.vetting import FOUND

log = logging.getLogger(__name__)
POLL_S = 0.3
GRACE_S = 1.5
ENDING_S = 2.0
LABELS = "labels.json"


class TrainingJob:
    """The steps of one run, over the services."""

    def __init__(
        self,
        ground: Ground,
        cases: Cases,
        models: Models,
        promotions: Promotions,
        run_id: str,
        token: str | None = None,
    ) -> None:
        """``token``: of the worker that carries it out; each step raises Superseded once another one does."""
        self._ground, self._cases, self._models, self._promotions = ground, cases, models, promotions
        self.record = RunRecord(ground, run_id, token)
        self.folder = ground.settings.runs_folder / run_id

    def freeze(self) -> None:
        """The cases that teach as they are now, and the configuration with its overrides."""
        row = self.record.mine()
        config = ModelConfig.load(row.config, row.overrides)
        snapshot = self.folder / "snapshot"
        while not (snapshot / CASES).exists() or self._holds_erased(snapshot):
            shutil.rmtree(snapshot, ignore_errors=True)
            wanted = {**row.filter, **who_teaches(config)}
            cases = self._cases.select(row.project_id, wanted)
            report = write_snapshot(self._ground, row.project_id, wanted, cases, row.labels, snapshot)
            self.record.labels({"report": report})
        if config.search.trials:
            make_room_for_trials(self._ground.database)
        _keep_labels(snapshot / CASES, self.folder / LABELS)
        (self.folder / "config.json").write_text(config.model_dump_json(indent=1), encoding="utf-8")

    def _holds_erased(self, snapshot: Path) -> bool:
        """Whether a case was erased while it was copied; whoever erases looks at what is copied by then."""
        ids = set(_labels(snapshot / CASES))
        return bool(ids - self._cases.stored(ids))

    def train(self) -> str:
        """Train; gives ``succeeded``, ``cancelled``, or ``failed: reason``."""
        out = self.folder / "out"
        out.mkdir(parents=True, exist_ok=True)
        log = out / "training.log"
        with log.open("ab") as output:
            child = subprocess.Popen(  # noqa: S603 - our own module, no words of a caller
                self._command(out), stdout=output, stderr=output, env=self._environment()
            )
        try:
            while child.poll() is None:
                if self._told_to_stop(out / "progress.jsonl"):
                    return "cancelled"
                time.sleep(POLL_S)
        finally:
            _end(child)
        self._told_to_stop(out / "progress.jsonl")
        self._tell_of_labels(out / FOUND)
        if child.returncode == 0:
            return "succeeded"
        if -child.returncode in {signal.SIGTERM, signal.SIGINT}:
            time.sleep(ENDING_S)  # whoever stops the whole process tree ends this process too: then it is no failure
        return f"failed: {_last_line(log, child.returncode)}"

    def register(self) -> None:
        """Put the bundle into the registry."""
        row = self.record.mine()
        self._models.register(self._worker(row), row.id, self.folder / "out" / "bundle", row.config)

    def compare(self) -> None:
        """Compare the model with the one that serves, on the snapshot's cases; do what the policy says; end the run.

        A run that is cancelled meanwhile leaves its model, not compared.
        """
        row = self.record.mine()
        model = self._models.of_run(self._worker(row), row.id)
        if row.progress is not None:
            self.record.progress({**row.progress, "stage": "comparing"})
        try:
            self._promotions.judge(self._worker(row), model.id, self.folder / "snapshot", row.id, self._cancelled)
        except Cancelled:
            self.record.cancelled()
        else:
            self.record.succeed(model.id)

    def _cancelled(self) -> bool:
        """Whether someone said so. While the database is away the work goes on."""
        try:
            return self.record.mine().cancel_requested
        except SQLAlchemyError as error:
            log.warning("the database does not answer: %s", type(error).__name__)
            return False

    def tidy(self) -> None:
        """Remove what the run alone needed."""
        forget_erased(self._ground, self._cases, self.folder / "snapshot")
        discard_working_files(self.folder)

    def _worker(self, row: TrainingRunRow) -> Caller:
        return Caller(row.project_id, row.worker or "worker", "training worker", Role.ADMIN)

    def _command(self, out: Path) -> list[str]:
        command = [sys.executable, "-m", "clinical_mm.training", "--with-parent", str(os.getpid())]
        command += ["--config", str(self.folder / "config.json"), "--snapshot", str(self.folder / "snapshot")]
        command += ["--out", str(out), "--device", self._ground.settings.device, "--run-id", self.record.run_id]
        if self._ground.features is not None:
            megabytes = str(self._ground.settings.feature_cache_mb)
            command += ["--features", str(self._ground.features.path), "--features-mb", megabytes]
        if self._ground.settings.catalogue is not None:
            command += ["--catalogue", str(self._ground.settings.catalogue.resolve())]
        start = self.record.read().start_from
        if start is not None:
            command += ["--start-from", str(self._models.bundle_folder(start))]
        if trials_url(self._ground.database) is not None:
            command += ["--study", self.record.run_id]
        return command

    def _environment(self) -> dict[str, str]:
        """URLs go this way: anyone on the machine may read a command line."""
        urls = {TRIALS_URL: trials_url(self._ground.database), TRACKING_URI: self._ground.settings.mlflow_tracking_uri}
        return {**os.environ, "TOKENIZERS_PARALLELISM": "false", **{name: url for name, url in urls.items() if url}}

    def _tell_of_labels(self, found: Path) -> None:
        """Keep what the check of the labels found, of a training that it ended too."""
        if found.exists():
            self.record.labels(json.loads(found.read_text(encoding="utf-8")))

    def _told_to_stop(self, lines: Path) -> bool:
        """Pass on how far it is; gives whether someone cancelled."""
        newest = _newest_progress(lines)
        try:
            if newest is not None:
                self.record.progress(newest)
        except SQLAlchemyError as error:
            log.warning("the database does not answer: %s", type(error).__name__)
        return self._cancelled()


def _keep_labels(cases: Path, labels: Path) -> None:
    """Which cases with which labels: what stays of a snapshot, without a word of any patient.

    Cases without a label, from which alignment learns, have null.
    """
    labels.write_text(json.dumps(_labels(cases), indent=1), encoding="utf-8")


def _labels(cases: Path) -> dict[str, Any]:
    with cases.open(encoding="utf-8") as lines:
        parsed = (json.loads(line) for line in lines)
        return {case["id"]: case.get("diagnoses") for case in parsed}


def _newest_progress(lines: Path) -> dict[str, Any] | None:
    if not lines.exists():
        return None
    with lines.open("rb") as file:
        file.seek(max(0, lines.stat().st_size - 4096))
        for line in reversed(file.read().splitlines()):
            try:
                told: dict[str, Any] = json.loads(line)
            except ValueError:  # the last line may be half written, the first of these cut
                continue
            return told
    return None


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is not None:
        return
    child.send_signal(signal.SIGTERM)
    try:
        child.wait(timeout=GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _last_line(log: Path, status: int) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    if status < 0:
        return f"the training process was ended by signal {-status} (out of memory?)"
    return lines[-1] if lines else f"the training process ended with status {status}"
