"""Erase all that is stored of a patient: rows, objects, what was derived from them; and keep what was done.

What no erasing reaches is named instead: weights of models that learned from a case, backups that hold it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from api.access.service import Caller, Role
from api.audit.service import Audit
from api.backups.tables import BackupRow
from api.cases.service import Cases
from api.cases.sweep import in_use, removing
from api.cases.tables import BlobUseRow, CaseFileRow, CaseRow
from api.erasures.copies import stop_copies
from api.erasures.schemas import (
    CertificateOut,
    CertificatePage,
    Erased,
    ErasedObject,
    ErasureIn,
    HoldingBackup,
    TaughtModel,
)
from api.erasures.tables import ErasureRow
from api.erasures.waiting import NOTHING, Waiting, take_out
from api.explanations.tables import ExplanationRow
from api.ground.blobs import BlobsAway
from api.ground.clock import now
from api.ground.ground import Ground
from api.ground.ids import new_id
from api.ground.runs import ENDED
from api.models.service import Models
from api.predictions.tables import PredictionRow
from api.problems import NotFound
from api.reviews.tables import ReviewRow
from api.shadows.tables import ShadowPredictionRow
from api.training.tables import TrainingRunRow
from clinical_mm.bundle_layout import SPLIT

SHOWN = 200


class Erasures:
    """The erasures of each project."""

    def __init__(self, ground: Ground, audit: Audit, cases: Cases, models: Models) -> None:
        self._ground, self._audit, self._cases, self._models = ground, audit, cases, models

    def erase(self, caller: Caller, wanted: ErasureIn) -> CertificateOut:
        """Erase a patient's cases, or these cases again where a backup brought them back.

        Raises:
            NotFound: the project has no such case, nor an import that waits.
        """
        caller.require(Role.ADMIN)
        whose = CaseRow.patient_id == wanted.patient if wanted.cases is None else CaseRow.id.in_(wanted.cases)
        with removing(self._ground):
            with self._ground.database.transaction() as session:
                waiting = NOTHING
                if wanted.patient is not None:
                    is_theirs = self._cases.same_patient(caller.project_id, wanted.patient)
                    waiting = take_out(session, caller.project_id, is_theirs)
                erasure = self._erase(session, caller, whose, waiting)
            certificate = self._finish(erasure)
        self._ground.database.wipe()
        return certificate

    def list(self, caller: Caller) -> CertificatePage:
        """The project's newest certificates."""
        caller.require(Role.ADMIN)
        query = select(ErasureRow).where(ErasureRow.project_id == caller.project_id).order_by(ErasureRow.id.desc())
        with self._ground.database.reading() as session:
            rows = list(session.scalars(query.limit(SHOWN)))
        return CertificatePage(items=[self._out(row) for row in rows])

    def get(self, caller: Caller, erasure_id: str) -> CertificateOut:
        """One certificate; what could not be removed then is tried again. Raises NotFound."""
        caller.require(Role.ADMIN)
        with self._ground.database.reading() as session:
            row = session.get(ErasureRow, erasure_id)
        if row is None or row.project_id != caller.project_id:
            raise NotFound("no such certificate in this project")
        with removing(self._ground):
            return self._finish(row)

    def _erase(self, session: Session, caller: Caller, whose: ColumnElement[bool], waiting: Waiting) -> ErasureRow:
        query = select(CaseRow).where(CaseRow.project_id == caller.project_id, whose).order_by(CaseRow.id)
        rows = list(session.scalars(query.with_for_update()))
        if not rows and not waiting.lines:
            raise NotFound("this project has no such case")
        ids = [row.id for row in rows]
        runs = stop_copies(self._ground, session, caller.project_id, ids)
        counts = {**_count(session, ids), "import_lines": waiting.lines}
        kinds = {**dict.fromkeys(waiting.objects, "file"), **_kinds(session, ids)}
        backups = list(_backups(session, [*(row.created_at for row in rows), *filter(None, [waiting.since])]))
        gone = sorted({*self._cases.remove(session, rows), *waiting.objects})
        erased = Erased(
            cases=ids,
            rows=counts,
            objects=[ErasedObject(sha256=digest, kind=kinds[digest]) for digest in gone],
            shared=sorted(kinds.keys() - set(gone)),
            models=list(self._taught(caller, ids)),
            backups=backups,
            stopped_runs=runs,
        )
        erasure = ErasureRow(
            id=new_id("erasure"),
            project_id=caller.project_id,
            created_at=now(),
            created_by=caller.signature,
            certificate=erased.model_dump(mode="json"),
            blobs_left=gone,
        )
        session.add(erasure)
        self._audit.record(session, caller, "erasure.create", "erasure", erasure.id, cases=ids, objects=len(gone))
        return erasure

    def _taught(self, caller: Caller, ids: Collection[str]) -> Iterator[TaughtModel]:
        """Models whose manifest, or split where they are older than manifests are, names one of the cases."""
        for model in self._models.list(caller):
            manifest = self._models.manifest(model.id)
            parts = self._split(model.id) if manifest is None else {used.case: used.part for used in manifest.cases}
            mine = {case: parts[case] for case in ids if case in parts}
            if mine:
                yield TaughtModel(id=model.id, serving=model.serving, cases=mine)

    def _split(self, model_id: str) -> dict[str, str]:
        path = self._models.bundle_folder(model_id) / SPLIT
        parts = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return {case: part for part, held in parts.items() if isinstance(held, list) for case in held}

    def _finish(self, erasure: ErasureRow) -> CertificateOut:
        """Remove the objects that are left, unless they came again with somebody else's case; within ``removing``."""
        with self._ground.database.reading() as session:
            used = set(session.scalars(in_use(set(erasure.blobs_left))))
        left = []
        for digest in erasure.blobs_left:
            if digest not in used:
                try:
                    self._ground.blobs.delete(digest)
                except BlobsAway:  # the certificate says so, and asking for it tries again
                    left.append(digest)
        if left != erasure.blobs_left:
            erasure.blobs_left = left
            with self._ground.database.transaction() as session:
                session.merge(erasure)
        return self._out(erasure)

    def _out(self, row: ErasureRow) -> CertificateOut:
        runs: Sequence[str] = row.certificate["stopped_runs"]
        query = select(TrainingRunRow.id).where(TrainingRunRow.id.in_(runs), TrainingRunRow.state.not_in(ENDED))
        with self._ground.database.reading() as session:
            waiting = [*session.scalars(query), *row.blobs_left]
        return CertificateOut(
            id=row.id,
            created_at=row.created_at,
            created_by=row.created_by,
            complete=not waiting,
            waiting_for=waiting,
            **row.certificate,
        )


def _count(session: Session, ids: Collection[str]) -> dict[str, int]:
    said = select(PredictionRow.id).where(PredictionRow.case_id.in_(ids))
    wanted: dict[str, tuple[Any, Any]] = {
        "cases": (CaseRow, CaseRow.id.in_(ids)),
        "files": (CaseFileRow, CaseFileRow.case_id.in_(ids)),
        "predictions": (PredictionRow, PredictionRow.case_id.in_(ids)),
        "explanations": (ExplanationRow, ExplanationRow.case_id.in_(ids)),
        "reviews": (ReviewRow, ReviewRow.case_id.in_(ids)),
        "shadow_predictions": (ShadowPredictionRow, ShadowPredictionRow.prediction_id.in_(said)),
    }
    return {
        name: int(session.scalar(select(func.count()).select_from(table).where(mine)) or 0)
        for name, (table, mine) in wanted.items()
    }


def _kinds(session: Session, ids: Collection[str]) -> dict[str, str]:
    """Every object of these cases, and what it is."""
    used = session.scalars(select(BlobUseRow.sha256).where(BlobUseRow.case_id.in_(ids)))
    files = set(session.scalars(select(CaseFileRow.sha256).where(CaseFileRow.case_id.in_(ids))))
    return {digest: "file" if digest in files else "heat map" for digest in used}


def _backups(session: Session, came: Sequence[datetime]) -> Iterator[HoldingBackup]:
    """Those begun since the oldest of what is erased came."""
    since = min(came)
    query = select(BackupRow).where(BackupRow.discarded_at.is_(None), BackupRow.started_at >= since)
    for row in session.scalars(query.order_by(BackupRow.id)):
        yield HoldingBackup(id=row.id, name=row.name, started_at=row.started_at)
