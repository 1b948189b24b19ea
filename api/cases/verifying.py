"""Whether every stored file is still what was stored."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from api.cases.sweep import in_use
from api.cases.tables import BlobUseRow
from api.ground.ground import Ground
from clinical_mm.errors import DamagedFile


@dataclass(frozen=True)
class Loss:
    """A file that is gone or has changed, and whose it is; none where it waits in an import."""

    sha256: str
    how: str
    cases: tuple[str, ...]


def stored_files(ground: Ground) -> list[str]:
    """The SHA-256 of every file that a case uses, or an import that waits."""
    with ground.database.reading() as session:
        return sorted(session.scalars(in_use()))


def look_at(ground: Ground, digest: str) -> Loss | None:
    """Read one file whole; gives nothing where it is sound, or was erased meanwhile."""
    try:
        for _ in ground.blobs.pieces(digest):
            pass
    except DamagedFile as error:
        with ground.database.reading() as session:
            query = select(BlobUseRow.case_id).where(BlobUseRow.sha256 == digest).order_by(BlobUseRow.case_id)
            cases, used = tuple(session.scalars(query)), session.scalar(in_use({digest}))
        return None if used is None else Loss(digest, error.how, cases)
    return None
