"""Submit, read, change and erase cases: every file is decoded first, then blobs are stored, then one transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from api.access.service import Caller, Role
from api.audit.service import Audit
from api.cases import worklist
from api.cases.forgetting import remember_erased
from api.cases.identity import Identity
from api.cases.intake import PIXELS, CheckedFile, as_image, body_sha256, check_files, spool
from api.cases.scanning import refuse_infected
from api.cases.schemas import CaseChange, CaseConditions, CaseCounts, CaseFilter, CaseIn, CaseOut, CasePage, Upload
from api.cases.sweep import discard_unused, removing
from api.cases.tables import BlobUseRow, CaseFileRow, CaseLabelRow, CaseRow, ReviewState, StagedFileRow
from api.cases.views import case_out, core_case, hashed_case
from api.ground.clock import now
from api.ground.ground import Ground
from api.ground.ids import new_id
from api.ground.rounding import rounded
from api.idempotency.service import IdempotencyKeys, SentKey
from api.problems import Conflict, NotFound, PreconditionFailed
from clinical_mm.case import Case
from clinical_mm.importing.case_json import CaseDocument, case_to_json

PAGE = 200
Weigh = Callable[[Session, CaseRow], None]
"""Sets a case's sort keys (``worklist.DOUBTS``); the room of the predictions, which these follow from, lies above."""


@dataclass(frozen=True)
class Submitted:
    """The stored case, and whether this call stored it (else an earlier one with the same key did)."""

    case: CaseOut
    created: bool


class Cases:
    """The cases of each project."""

    def __init__(self, ground: Ground, audit: Audit, weigh: Weigh) -> None:
        self._ground = ground
        self._audit = audit
        self._weigh = weigh
        self._identity = Identity(ground)
        self._keys = IdempotencyKeys(ground)

    def submit(
        self,
        caller: Caller,
        body: CaseIn,
        uploads: Sequence[Upload] = (),
        idempotency_key: str | None = None,
        *,
        synthetic: bool = False,
    ) -> Submitted:
        """Store a case, whole or not at all.

        Raises:
            InvalidCase, Unsupported, Invalid: what was sent is wrong; nothing is stored.
            ScannerAway: files cannot be scanned at present.
            Identified: the project takes no case that tells who it is about.
            Conflict: the project has a case of that external_id.
            Invalid: the Idempotency-Key came with another body before.
        """
        caller.require(Role.CLINICIAN)
        identity = self._identity.of(caller.project_id)
        key, known = identity.sent_key(idempotency_key, body_sha256(body, uploads))

        def store() -> Submitted:
            refuse_infected(self._ground, ((upload.name, upload.path) for upload in uploads))
            with ExitStack() as spooled:
                files = check_files(uploads, self._ground.settings)
                clean, files, removed = identity.apply(body, files, spooled)
                case = clean.to_case(self._ground.catalogue, [as_image(f) for f in files])
                self._refuse_twice(caller, identity.external_ids(body.external_id))
                row = self._store(caller, case, files, key, synthetic=synthetic, removed=removed)
                return Submitted(case_out(row), created=True)

        return self._keys.once(caller, key, store, lambda id_: Submitted(self.get(caller, id_), created=False), known)

    def submit_case(self, caller: Caller, case: Case, *, synthetic: bool = False) -> CaseOut:
        """Store a case that an importer or the phantom made, through the same checks."""
        body = CaseDocument.model_validate(case_to_json(case))
        with ExitStack() as spooled:
            uploads = [spool(self._ground.spool, image.name, image.read(), spooled) for image in case.images]
            return self.submit(caller, body, uploads, synthetic=synthetic).case

    def get(self, caller: Caller, case_id: str) -> CaseOut:
        """One case; raises NotFound."""
        with self._ground.database.reading() as session:
            return case_out(self.row(session, caller.project_id, case_id))

    def list(self, caller: Caller, wanted: CaseFilter) -> CasePage:
        """Cases in the order asked for; a page stays the same page while new cases come in.

        Raises:
            Invalid: the cursor is not one of this order.
        """
        query = worklist.page(caller.project_id, wanted, self._also(caller, wanted))
        with self._ground.database.reading() as session:
            rows = list(session.scalars(query.limit(wanted.limit + 1)))
        items = [case_out(row) for row in rows[: wanted.limit]]
        more = len(rows) > wanted.limit
        return CasePage(items=items, next_cursor=worklist.position(items[-1], wanted.order) if more else None)

    def shown(self, case: CaseOut) -> CaseOut:
        """A case as an answer shows it: what could tell a probability to many digits in few."""
        digits = self._ground.settings.score_digits
        return case.model_copy(update={name: rounded(getattr(case, name), digits) for name in worklist.DOUBTS})

    def counts(self, caller: Caller, wanted: CaseConditions) -> CaseCounts:
        """How many cases of each state of review fit."""
        with self._ground.database.reading() as session:
            return worklist.count(session, caller.project_id, wanted, self._also(caller, wanted))

    def change(self, caller: Caller, case_id: str, change: CaseChange, seen: Collection[str] | None = None) -> CaseOut:
        """Change what ``change`` names.

        Raises:
            PreconditionFailed: the stored version is not among those ``seen``.
            Conflict: it is a golden case.
            InvalidCase: a vital or diagnosis is wrong, or nothing would be left of the case.
            Identified: the project takes no note that tells who it is about.
        """
        caller.require(Role.CLINICIAN)
        named = change.model_dump(exclude_unset=True)
        identity = self._identity.of(caller.project_id)
        with self._ground.database.transaction() as session:
            row = self.row(session, caller.project_id, case_id, lock=True)
            _match(row, seen)
            _refuse_locked(row)
            before = core_case(row, self._ground.blobs)
            named, row.deidentification = identity.change(row.patient_id, named, row.deidentification)
            stored = case_to_json(before)
            document = CaseDocument.model_validate({**stored, **{k: named[k] for k in named if named[k] is not None}})
            for key in (k for k in named if named[k] is None):
                setattr(document, key, {} if key == "vitals" else None)
            case = document.to_case(self._ground.catalogue, before.images)
            row.note, row.vitals, row.acquired_at = case.note, dict(case.vitals), case.acquired_at
            if "diagnoses" in named:
                self._give_label(row, caller, None if case.diagnoses is None else list(case.diagnoses), now())
                self._weigh(session, row)
            self.touch(row)
            self._audit.record(session, caller, "case.change", "case", row.id, fields=sorted(named))
            self._ground.forget([before], [case])
            return case_out(row)

    def erase(self, caller: Caller, case_id: str, seen: Collection[str] | None = None) -> None:
        """Erase a case: row, predictions, explanations, reviews, and the blobs that no other case uses."""
        caller.require(Role.ADMIN)
        with removing(self._ground):
            with self._ground.database.transaction() as session:
                row = self.row(session, caller.project_id, case_id, lock=True)
                _match(row, seen)
                blobs = self.remove(session, [row])
                self._audit.record(session, caller, "case.erase", "case", case_id, blobs=len(blobs))
            for digest in blobs:
                self._ground.blobs.delete(digest)
        self._ground.database.wipe()

    def remove(self, session: Session, rows: Sequence[CaseRow]) -> Sequence[str]:
        """Take cases out within a transaction and ``removing``; gives the blobs that nothing else uses."""
        ids, cases = [row.id for row in rows], [hashed_case(row) for row in rows]
        mine = select(BlobUseRow.sha256).where(BlobUseRow.case_id.in_(ids)).distinct()
        others = select(BlobUseRow.sha256).where(BlobUseRow.case_id.not_in(ids))
        staged = select(StagedFileRow.sha256)
        unshared = (BlobUseRow.sha256.not_in(others), BlobUseRow.sha256.not_in(staged))
        blobs = list(session.scalars(mine.where(*unshared)))
        for row in rows:
            session.delete(row)
        session.flush()
        self._ground.forget(cases)  # before the commit: a crash after it must leave nothing behind
        remember_erased(session, cases)
        return blobs

    def select(self, project_id: str, wanted: Mapping[str, Any]) -> Iterator[Case]:
        """Cases of a project as the learning core takes them, oldest first; ``wanted`` is a CaseFilter as JSON."""
        query = worklist.fitting(project_id, CaseFilter.model_validate(wanted)).order_by(CaseRow.id).limit(PAGE)
        last = ""
        while True:
            with self._ground.database.reading() as session:
                rows = list(session.scalars(query.where(CaseRow.id > last)))
            yield from (core_case(row, self._ground.blobs) for row in rows)
            if len(rows) < PAGE:
                return
            last = rows[-1].id

    def external_ids(self, caller: Caller) -> set[str | None]:
        """The external ids of the project's cases."""
        query = select(CaseRow.external_id).where(CaseRow.project_id == caller.project_id)
        with self._ground.database.reading() as session:
            return set(session.scalars(query))

    def ids(self, caller: Caller) -> set[str]:
        """The ids of the project's cases."""
        with self._ground.database.reading() as session:
            return set(session.scalars(select(CaseRow.id).where(CaseRow.project_id == caller.project_id)))

    def stored(self, case_ids: Iterable[str]) -> set[str]:
        """Those of these cases that are stored, in whatever project."""
        wanted, found = list(case_ids), set[str]()
        with self._ground.database.reading() as session:
            for start in range(0, len(wanted), PAGE):
                found.update(session.scalars(select(CaseRow.id).where(CaseRow.id.in_(wanted[start : start + PAGE]))))
        return found

    def patients(self, caller: Caller, case_ids: Iterable[str]) -> set[str]:
        """The patients of those of these cases that are stored in the project."""
        wanted, found = list(case_ids), set[str]()
        with self._ground.database.reading() as session:
            for start in range(0, len(wanted), PAGE):
                some = CaseRow.id.in_(wanted[start : start + PAGE])
                query = select(CaseRow.patient_id).where(CaseRow.project_id == caller.project_id, some)
                found.update(session.scalars(query))
        return found

    def labels(self, caller: Caller, case_ids: Sequence[str]) -> dict[str, Sequence[str] | None]:
        """The diagnoses of those of these cases that are stored in the project, by id."""
        query = select(CaseRow).where(CaseRow.project_id == caller.project_id, CaseRow.id.in_(case_ids))
        with self._ground.database.reading() as session:
            return {row.id: row.diagnoses for row in session.scalars(query)}

    def same_patient(self, project_id: str, stored: str) -> Callable[[str], bool]:
        """Tells whether a patient's id as sent is the stored one."""
        identity = self._identity.of(project_id)
        return lambda sent: identity.same_patient(sent, stored)

    def row(self, session: Session, project_id: str, case_id: str, *, lock: bool = False) -> CaseRow:
        """The row of a case of the project; raises NotFound, for another project's too."""
        query = select(CaseRow).where(CaseRow.id == case_id, CaseRow.project_id == project_id)
        found = session.scalar(query.with_for_update() if lock else query)
        if found is None:
            raise NotFound("no such case in this project")
        return found

    def core(self, row: CaseRow) -> Case:
        """The case as the learning core takes it."""
        return core_case(row, self._ground.blobs)

    @staticmethod
    def label(row: CaseRow, diagnoses: Sequence[str] | None, by: str | None, at: datetime | None) -> None:
        """Set or take away the label in force, with who and when."""
        row.diagnoses = None if diagnoses is None else sorted(set(diagnoses))
        kept = [label for label in row.labels if label.code in (diagnoses or ())]
        new = set(diagnoses or ()) - {label.code for label in kept}
        row.labels = [*kept, *(CaseLabelRow(project_id=row.project_id, code=code) for code in sorted(new))]
        row.labelled_by = None if diagnoses is None else by
        row.labelled_at = None if diagnoses is None else at

    def _give_label(self, row: CaseRow, caller: Caller, diagnoses: Sequence[str] | None, at: datetime) -> None:
        """The label as sent, in force until a reviewer says otherwise, and again when that review is withdrawn."""
        self.label(row, diagnoses, caller.signature, at)
        row.given_diagnoses, row.given_by, row.given_at = row.diagnoses, caller.signature, at
        if row.review_state in {ReviewState.SUBMITTED, ReviewState.UNREVIEWED}:
            row.review_state = ReviewState.UNREVIEWED if diagnoses is None else ReviewState.SUBMITTED

    @staticmethod
    def touch(row: CaseRow) -> None:
        """A new version."""
        row.version += 1
        row.updated_at = now()

    def _store(
        self,
        caller: Caller,
        case: Case,
        files: Sequence[CheckedFile],
        key: SentKey | None,
        *,
        synthetic: bool,
        removed: dict[str, Any] | None,
    ) -> CaseRow:
        """Blobs first, then one transaction; where that fails, the blobs that nobody uses are taken away again."""
        stored = False
        try:
            with self._ground.blobs.writing():
                for file in files:
                    self._ground.blobs.put_file(file.upload.path, file.upload.sha256)
                row = self._insert(caller, case, files, key, synthetic=synthetic, removed=removed)
                stored = True
        except IntegrityError as error:
            raise Conflict("a case of this external_id exists already") from error
        finally:
            if not stored:
                discard_unused(self._ground, {file.upload.sha256 for file in files})
        return row

    def _insert(
        self,
        caller: Caller,
        case: Case,
        files: Sequence[CheckedFile],
        key: SentKey | None,
        *,
        synthetic: bool,
        removed: dict[str, Any] | None,
    ) -> CaseRow:
        moment = now()
        row = CaseRow(
            id=new_id("case"),
            project_id=caller.project_id,
            external_id=case.external_id,
            patient_id=case.patient.id,
            sex=case.patient.sex,
            age_years=case.patient.age_years,
            note=case.note,
            vitals=dict(case.vitals),
            synthetic=synthetic,
            deidentification=removed,
            acquired_at=case.acquired_at,
            created_at=moment,
            updated_at=moment,
            version=1,
            review_state=ReviewState.UNREVIEWED,
            files=[_file_row(position, file) for position, file in enumerate(files)],
        )
        self._give_label(row, caller, case.diagnoses, moment)
        with self._ground.database.transaction() as session:
            session.add(row)
            session.flush()
            session.add_all(BlobUseRow(case_id=row.id, sha256=digest) for digest in {f.upload.sha256 for f in files})
            self._keys.keep(session, caller, key, row.id, case_id=row.id)
            self._audit.record(session, caller, "case.submit", "case", row.id, files=len(files))
        return row

    def _also(self, caller: Caller, wanted: CaseConditions) -> Sequence[str]:
        return self._identity.of(caller.project_id).searched(wanted.q) if wanted.q else ()

    def _refuse_twice(self, caller: Caller, external_ids: Sequence[str]) -> None:
        if not external_ids:
            return
        query = select(CaseRow.id).where(CaseRow.project_id == caller.project_id, CaseRow.external_id.in_(external_ids))
        with self._ground.database.reading() as session:
            found = session.scalar(query)
        if found is not None:
            raise Conflict(f"a case of this external_id exists already: {found}")


def _file_row(position: int, file: CheckedFile) -> CaseFileRow:
    return CaseFileRow(
        position=position,
        name=file.name,
        media_type=file.found.media_type,
        sha256=file.upload.sha256,
        size=file.upload.size,
        frames=file.found.frames,
        rows=file.found.rows,
        columns=file.found.columns,
        attributes={**file.found.attributes, PIXELS: file.found.statistics},
    )


def _refuse_locked(row: CaseRow) -> None:
    """Neither its label nor what a model is shown of a golden case: either would move what models are judged by."""
    if row.golden_at is not None:
        raise Conflict(
            f"a golden case stays as {row.golden_by} locked it: an admin takes it out of the golden set first"
        )


def _match(row: CaseRow, seen: Collection[str] | None) -> None:
    if seen is not None and str(row.version) not in seen:
        raise PreconditionFailed(f"the case is at version {row.version} by now: read it again")
