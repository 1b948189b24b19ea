"""Training runs: asked for, watched, cancelled; and the same training in the foreground for the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.access.service import Caller, Role
from api.audit.service import Audit
from api.cases.service import Cases
from api.ground.clock import now
from api.ground.ground import Ground
from api.ground.ids import new_id
from api.ground.runs import ENDED, RunRow
from api.idempotency.service import IdempotencyKeys, SentKey
from api.models.schemas import ModelOut
from api.models.service import Models
from api.problems import Conflict, NotFound
from api.promotion.service import Promotions
from api.reviews.adjudication import Rule
from api.reviews.teaching import write_snapshot
from api.training.allowed import refuse_unlisted
from api.training.schemas import TrainingRunIn, TrainingRunOut
from api.training.tables import TrainingRunRow
from clinical_mm.bundle_layout import SPLIT
from clinical_mm.case import Case
from clinical_mm.catalogue import Catalogue
from clinical_mm.config import ModelConfig
from clinical_mm.importing.folder import CASES, read_folder

SHOWN = 100


class Training:
    """The runs of each project."""

    def __init__(self, ground: Ground, audit: Audit, cases: Cases, models: Models, promotions: Promotions) -> None:
        self.ground, self.audit, self.cases, self.models = ground, audit, cases, models
        self.promotions = promotions
        self._keys = IdempotencyKeys(ground)

    def start(self, caller: Caller, wanted: TrainingRunIn, key: SentKey | None = None) -> TrainingRunOut:
        """Queue a run; a worker takes it.

        Raises:
            InvalidConfig, Forbidden, NotFound: it could not be carried out.
            Invalid: it names weights, a model or a network that is not on the list.
            Invalid: the Idempotency-Key came with another request before.
        """

        def queue() -> TrainingRunOut:
            self.check(caller, wanted)
            with self.ground.database.transaction() as session:
                run = self.queue(session, caller, wanted)
                self._keys.keep(session, caller, key, run.id)
                return run

        return self._keys.once(caller, key, queue, lambda id_: self.get(caller, id_))

    def check(self, caller: Caller, wanted: TrainingRunIn) -> None:
        """Whether a run could be queued; raises as ``start`` does."""
        caller.require(Role.TRAINER)
        refuse_unlisted(ModelConfig.load(wanted.config, wanted.set), self.ground.settings.weights, wanted.set)
        if wanted.start_from is not None:
            self._start(caller, wanted.start_from)

    def queue(self, session: Session, caller: Caller, wanted: TrainingRunIn) -> TrainingRunOut:
        """Queue what was checked, within a transaction."""
        row = TrainingRunRow(
            id=new_id("run"),
            project_id=caller.project_id,
            config=wanted.config,
            overrides=wanted.set,
            labels=wanted.labels,
            start_from=wanted.start_from,
            filter=wanted.filter.model_dump(mode="json", exclude_none=True, exclude={"order", "limit", "cursor"}),
            state="queued",
            cancel_requested=False,
            created_at=now(),
            created_by=caller.signature,
        )
        session.add(row)
        self.audit.record(session, caller, "training.start", "training-run", row.id, config=wanted.config)
        return _out(row)

    def list(self, caller: Caller) -> list[TrainingRunOut]:
        """The project's newest runs."""
        query = (
            select(TrainingRunRow)
            .where(TrainingRunRow.project_id == caller.project_id)
            .order_by(TrainingRunRow.id.desc())
            .limit(SHOWN)
        )
        with self.ground.database.reading() as session:
            return [_out(row) for row in session.scalars(query)]

    def get(self, caller: Caller, run_id: str) -> TrainingRunOut:
        """One run; raises NotFound."""
        with self.ground.database.reading() as session:
            return _out(self._row(session, caller.project_id, run_id))

    def cancel(self, caller: Caller, run_id: str) -> TrainingRunOut:
        """Stop a run: a queued one at once, a running one within two seconds. Raises Conflict where it has ended."""
        caller.require(Role.TRAINER)
        with self.ground.database.transaction() as session:
            row = self._row(session, caller.project_id, run_id)
            if row.state in ENDED:
                raise Conflict(f"the run has {row.state} already")
            row.cancel_requested = True
            if row.state == "queued":
                row.state, row.finished_at = "cancelled", now()
            self.audit.record(session, caller, "training.cancel", "training-run", run_id)
            return _out(row)

    def foreground(
        self,
        caller: Caller,
        config: str,
        overrides: Mapping[str, Any],
        start_from: str | None = None,
        labels: Rule = "newest",
    ) -> ModelOut:
        """Train here and now, with bars; the code of the job. Raises what ``clinical_mm.training.run.train`` raises."""
        caller.require(Role.TRAINER)
        chosen = ModelConfig.load(config, overrides)
        wanted = who_teaches(chosen)

        def write(snapshot: Path) -> None:
            cases = self.cases.select(caller.project_id, wanted)
            write_snapshot(self.ground, caller.project_id, wanted, cases, labels, snapshot)

        return self.make(caller, chosen, write, start_from=start_from)

    def make(
        self,
        caller: Caller,
        config: ModelConfig,
        write: Callable[[Path], None],
        *,
        start_from: str | None = None,
        catalogue: Catalogue | None = None,
        parts: Mapping[str, Sequence[str]] | None = None,
    ) -> ModelOut:
        """Train on the snapshot that ``write`` lays down, register the model, compare it with the one that serves.

        Raises:
            NotFound: ``start_from`` is no model of ours.
        """
        from clinical_mm.training.run import train
        from clinical_mm.training.trackers.mlflow import mlflow_trackers

        start = None if start_from is None else self._start(caller, start_from)
        settings = self.ground.settings
        folder = settings.runs_folder / new_id("run")
        try:
            write(folder / "snapshot")
            made = train(
                config,
                folder / "snapshot",
                folder / "out",
                catalogue=catalogue or self.ground.catalogue,
                device=settings.device,
                start=start,
                parts=parts,
                features=self.ground.features,
                trackers=mlflow_trackers(settings.mlflow_tracking_uri, folder / "out", folder.name),
            )
            model = self.models.register(caller, None, made.folder, config.name)
            self.promotions.judge(caller, model.id, folder / "snapshot")
            return self.models.get(caller, model.id)
        finally:
            forget_erased(self.ground, self.cases, folder / "snapshot")
            discard_working_files(folder)

    def unseen_cases(self, caller: Caller, model_id: str, wanted: Mapping[str, Any]) -> Iterator[Case]:
        """Labelled cases that the model was not trained on; raises NotFound."""
        self.models.get(caller, model_id)
        seen: set[str] = set()
        split = self.models.bundle_folder(model_id) / SPLIT
        if split.exists():
            parts = json.loads(split.read_text(encoding="utf-8"))
            seen = {*parts["train"], *parts["validation"]}
        for case in self.cases.select(caller.project_id, {**wanted, "labelled": True}):
            if case.id not in seen:
                yield case

    def _start(self, caller: Caller, model_id: str) -> Path:
        """The bundle of a model to start from; raises NotFound, for another project's too."""
        return self.models.bundle_folder(self.models.get(caller, model_id).id)

    def _row(self, session: Session, project_id: str, run_id: str) -> TrainingRunRow:
        row = session.get(TrainingRunRow, run_id)
        if row is None or row.project_id != project_id:
            raise NotFound("no such training run in this project")
        return row


def who_teaches(config: ModelConfig) -> dict[str, Any]:
    """The filter of a snapshot: labelled cases, and the others too where alignment learns from them."""
    return {"labelled": None if config.alignment.epochs else True}


def waiting_runs(ground: Ground, table: type[RunRow] = TrainingRunRow) -> list[str]:
    """Ids of runs of a kind that have not ended, oldest first."""
    query = select(table.id).where(table.state.not_in(ENDED)).order_by(table.id)
    with ground.database.reading() as session:
        return list(session.scalars(query))


def forget_erased(ground: Ground, cases: Cases, snapshot: Path) -> None:
    """What a training made of cases that were erased meanwhile goes out of the feature cache after them."""
    if ground.features is None or not (snapshot / CASES).exists():
        return
    taught = [case for case in read_folder(snapshot, ground.catalogue) if isinstance(case, Case)]
    stored = cases.stored(case.id for case in taught)
    ground.forget([case for case in taught if case.id not in stored])


def discard_working_files(folder: Path) -> None:
    """Remove what a run needed to work; the copies of cases above all, which must not outlive the cases' erasing."""
    for part in ("snapshot", "out/checkpoint", "out/bundle", "out/search/trial"):
        shutil.rmtree(folder / part, ignore_errors=True)


def _out(row: TrainingRunRow) -> TrainingRunOut:
    return TrainingRunOut.model_validate(
        {
            "id": row.id,
            "config": row.config,
            "set": row.overrides,
            "start_from": row.start_from,
            "filter": row.filter,
            "labels": row.labels,
            "label_report": row.label_report,
            "state": row.state,
            "progress": row.progress,
            "error": row.error,
            "model": row.model_id,
            "created_at": row.created_at,
            "created_by": row.created_by,
            "started_at": row.started_at,
            "finished_at": row.finished_at,
        }
    )
