"""Remove blobs of no case: what a refused submission wrote, and what a crash left."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from datetime import timedelta

from sqlalchemy import CompoundSelect, select, true, union

from api.cases.tables import BlobUseRow, StagedFileRow
from api.ground.clock import now
from api.ground.ground import Ground

YOUNG = timedelta(hours=1)


def in_use(among: AbstractSet[str] | None = None) -> CompoundSelect[str]:
    """A query for the blobs of cases, and of files that wait for theirs; all of them, or those ``among`` some."""
    tables = (BlobUseRow, StagedFileRow)
    return union(*(select(t.sha256).where(true() if among is None else t.sha256.in_(among)) for t in tables))


def discard_unused(ground: Ground, digests: AbstractSet[str]) -> None:
    """Remove those of ``digests`` that no case uses; in an object store or an outage they are left to the sweep."""
    if not digests or not ground.blobs.is_folder or ground.database.is_away:
        return
    with ground.blobs.removing():
        with ground.database.reading() as session:
            used = set(session.scalars(in_use(digests)))
        for digest in digests - used:
            ground.blobs.delete(digest)


def sweep_orphans(ground: Ground) -> int:
    """Remove every blob that no case uses; gives how many. In an object store those of the last hour are left alone."""
    youngest = now() if ground.blobs.is_folder else now() - YOUNG
    removed = 0
    with ground.blobs.removing():
        ground.blobs.remove_unfinished()
        with ground.database.reading() as session:
            used = set(session.scalars(in_use()))
        for digest, written in list(ground.blobs.list()):
            if digest not in used and written <= youngest:
                ground.blobs.delete(digest)
                removed += 1
    return removed
