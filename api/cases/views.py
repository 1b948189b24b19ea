"""From a case's rows to what goes over the wire, and to what the learning core takes."""

from __future__ import annotations

from collections.abc import Sequence

from api.cases.schemas import CaseOut, FileOut, PatientOut, Review
from api.cases.tables import CaseFileRow, CaseRow, ReviewState
from api.ground.blobs import Blobs
from clinical_mm.case import Case, ImageFile, Patient, Sex

REVIEW: dict[int, Review] = {
    ReviewState.UNREVIEWED: "unreviewed",
    ReviewState.UNSURE: "unsure",
    ReviewState.REVIEWED: "reviewed",
    ReviewState.SUBMITTED: "submitted",
}


def case_out(row: CaseRow) -> CaseOut:
    """A case as the API shows it."""
    return CaseOut(
        id=row.id,
        external_id=row.external_id,
        patient=PatientOut(id=row.patient_id, sex=row.sex, age_years=row.age_years),
        note=row.note,
        vitals=row.vitals,
        diagnoses=row.diagnoses,
        labelled_by=row.labelled_by,
        labelled_at=row.labelled_at,
        golden_by=row.golden_by,
        golden_at=row.golden_at,
        review=REVIEW[row.review_state],
        uncertainty=known(row.uncertainty),
        disagreement=known(row.disagreement),
        information=known(row.information),
        synthetic=row.synthetic,
        deidentification=row.deidentification,
        acquired_at=row.acquired_at,
        created_at=row.created_at,
        updated_at=row.updated_at,
        version=row.version,
        files=[_file_out(row.id, file) for file in row.files],
    )


def known(value: float) -> float | None:
    """A sort key as it is shown: None where nothing is known."""
    return None if value < 0 else value


def core_case(row: CaseRow, blobs: Blobs) -> Case:
    """A case as the learning core takes it; files are read when they are needed."""
    return _case(row, [ImageFile(f.name, blobs.path(f.sha256) or blobs.get(f.sha256), f.sha256) for f in row.files])


def hashed_case(row: CaseRow) -> Case:
    """The same with the hashes of its files alone, whether or not these are still there."""
    return _case(row, [ImageFile(f.name, b"", f.sha256) for f in row.files])


def _case(row: CaseRow, images: Sequence[ImageFile]) -> Case:
    return Case(
        id=row.id,
        external_id=row.external_id,
        patient=Patient(row.patient_id, _sex(row.sex), row.age_years),
        note=row.note,
        vitals=row.vitals,
        images=tuple(images),
        diagnoses=None if row.diagnoses is None else tuple(row.diagnoses),
        acquired_at=row.acquired_at,
        golden=row.golden_at is not None,
    )


def _sex(value: str | None) -> Sex | None:
    known: dict[str, Sex] = {"F": "F", "M": "M", "O": "O", "U": "U"}
    return known.get(value or "")


def _file_out(case_id: str, file: CaseFileRow) -> FileOut:
    where = f"/v1/cases/{case_id}/files/{file.position}"
    return FileOut(
        position=file.position,
        name=file.name,
        media_type=file.media_type,
        size=file.size,
        sha256=file.sha256,
        frames=file.frames,
        rows=file.rows,
        columns=file.columns,
        attributes=file.attributes,
        content=where,
        preview=f"{where}/preview.png",
    )
