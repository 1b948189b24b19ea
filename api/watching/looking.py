"""One look at a project: figures, what the rule says of them, and a training run where it says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import timedelta

from pydantic import ValidationError
from sqlalchemy.orm import Session

from api.access.service import Caller, Role
from api.audit.service import Audit
from api.ground.clock import now
from api.ground.ground import Ground
from api.models.service import Models
from api.problems import NotReady, ServiceError
from api.training.schemas import TrainingRunIn
from api.training.service import Training
from api.watching.agreement import lately
from api.watching.evidence import days_since_training, learned, new_labels, run_under_way, trained_as
from api.watching.schemas import AgreementOut, DriftOut, FeatureFigure, Kind, Look, RulingOut, WatchingOut
from api.watching.service import Watching
from api.watching.tables import WatchRow
from clinical_mm.errors import ClinicalMMError
from clinical_mm.manifest import Manifest
from clinical_mm.watching.rule import Figures, Rule, Ruling


class Looking:
    """Looks, and keeps what was seen."""

    def __init__(self, ground: Ground, audit: Audit, models: Models, watching: Watching, training: Training) -> None:
        self._ground, self._audit, self._models = ground, audit, models
        self._watching, self._training = watching, training

    def look(self, project_id: str, rule: Rule) -> None:
        """Look at a project that has been claimed (``keeper.py``); where no model serves any more, nothing."""
        caller = Caller(project_id, "watching-rule", "watching rule", Role.TRAINER)
        try:
            report = self._watching.report(caller, rule.days)
        except NotReady:
            return
        known, features = learned(self._manifests(caller, report.model)), _features(report)
        wanted, faults = self._wanted(caller, rule)
        with self._ground.database.transaction() as session:
            row = session.get_one(WatchRow, project_id, with_for_update=True)  # of two late workers one queues a run
            labels = new_labels(session, project_id, known)
            figures = _figures(session, caller, report.model, rule, _counts(features) | {"new_labels": labels})
            ruling = rule.judge(figures)
            ruling = replace(ruling, lacking=(*ruling.lacking, *faults))
            run = self._retrain(session, caller, wanted, ruling) if ruling.asks and wanted is not None else None
            told = _told(report.model, rule, figures, ruling, run)
            row.look = Look(ruling=told, features=features).model_dump(mode="json")

    def _retrain(self, session: Session, caller: Caller, wanted: TrainingRunIn, ruling: Ruling) -> str:
        run = self._training.queue(session, caller, wanted).id
        self._audit.record(session, caller, "watching.retrain", "training-run", run, reasons=list(ruling.reasons))
        return run

    def _wanted(self, caller: Caller, rule: Rule) -> tuple[TrainingRunIn | None, tuple[str, ...]]:
        """The run that the rule would queue, and why it cannot."""
        if rule.action == "tell":
            return None, ()
        try:
            with self._ground.database.reading() as session:
                wanted = TrainingRunIn(config=rule.config) if rule.config else trained_as(session, caller.project_id)
            self._training.check(caller, wanted)
        except (ClinicalMMError, ServiceError, ValidationError) as error:
            return None, (f"a training run cannot be queued: {' '.join(str(error).split())}",)
        return wanted, ()

    def _manifests(self, caller: Caller, serving: str) -> Iterator[Manifest]:
        """Of the serving and of the newest model: another training would be of no use before there is news for both."""
        for model_id in {serving, self._models.list(caller)[0].id}:
            manifest = self._models.manifest(model_id)
            if manifest is not None:
                yield manifest


def _features(report: WatchingOut) -> list[FeatureFigure]:
    kinds: Mapping[Kind, Sequence[DriftOut]] = {
        "input": report.inputs,
        "image": report.images,
        "strangeness": report.strangeness,
        "answer": report.outputs,
    }
    return [
        FeatureFigure(kind=kind, feature=one.feature, psi=round(one.psi, 4), verdict=one.verdict)
        for kind, drifts in kinds.items()
        for one in drifts
    ]


def _counts(features: Sequence[FeatureFigure]) -> dict[str, int]:
    verdicts = [one.verdict for one in features if one.verdict != "too few cases"]
    return {"drifted": verdicts.count("drifted"), "judged": len(verdicts)}


def _figures(session: Session, caller: Caller, model_id: str, rule: Rule, counted: Mapping[str, int]) -> Figures:
    since = now() - timedelta(weeks=rule.asks.agreement.weeks)
    return Figures(
        **counted,
        agreement=lately(session, caller.project_id, model_id, since),
        days_since=days_since_training(session, caller.project_id),
        run=run_under_way(session, caller.project_id),
    )


def _told(model_id: str, rule: Rule, figures: Figures, ruling: Ruling, run: str | None) -> RulingOut:
    return RulingOut(
        at=now(),
        model=model_id,
        action=rule.action,
        asks=ruling.asks,
        reasons=list(ruling.reasons),
        lacking=list(ruling.lacking),
        drifted=figures.drifted,
        judged=figures.judged,
        agreement=AgreementOut.model_validate(asdict(figures.agreement)),
        new_labels=figures.new_labels,
        days_since_training=figures.days_since,
        run=run,
    )
