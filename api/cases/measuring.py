"""Pixel statistics of files that were stored before these were measured at the door."""

from __future__ import annotations

from sqlalchemy import select

from api.cases.intake import PIXELS
from api.cases.tables import CaseFileRow, CaseRow
from api.ground.ground import Ground
from clinical_mm.errors import ClinicalMMError


def unmeasured(ground: Ground, project_id: str) -> list[tuple[str, int]]:
    """Case and position of each file of a project whose pixels have not been measured."""
    query = (
        select(CaseFileRow.case_id, CaseFileRow.position, CaseFileRow.attributes)
        .join(CaseRow, CaseRow.id == CaseFileRow.case_id)
        .where(CaseRow.project_id == project_id)
        .order_by(CaseFileRow.case_id, CaseFileRow.position)
    )
    with ground.database.reading() as session:
        return [(case_id, position) for case_id, position, held in session.execute(query) if PIXELS not in held]


def measure(ground: Ground, case_id: str, position: int) -> str | None:
    """Decode one file and keep its statistics; gives why that was not possible. The case stays at its version."""
    from clinical_mm.pictures import pixel_statistics, read_picture

    with ground.database.reading() as session:
        row = session.get(CaseFileRow, (case_id, position))
    if row is None:  # erased meanwhile
        return None
    try:
        found = pixel_statistics(read_picture(ground.blobs.get(row.sha256)))
    except (ClinicalMMError, OSError) as error:
        return f"case {case_id}, file {position}: {error}"
    with ground.database.transaction() as session:
        kept = session.get(CaseFileRow, (case_id, position))
        if kept is not None:
            kept.attributes = {**kept.attributes, PIXELS: found}
    return None
