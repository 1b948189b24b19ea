"""Remove what a crash may have left: blobs that were written for a case that was never acknowledged."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select

from api.cases.tables import BlobUseRow
from api.ground.clock import now
from api.ground.ground import Ground

YOUNG = timedelta(hours=1)


def sweep_orphans(ground: Ground) -> int:
    """Remove every blob that no case uses; gives how many. In an object store those of the last hour are left alone."""
    youngest = now() if ground.blobs.is_folder else now() - YOUNG
    removed = 0
    with ground.blobs.removing():
        with ground.database.reading() as session:
            used = set(session.scalars(select(BlobUseRow.sha256).distinct()))
        for digest, written in list(ground.blobs.list()):
            if digest not in used and written <= youngest:
                ground.blobs.delete(digest)
                removed += 1
    return removed
