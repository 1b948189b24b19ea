"""Remove blobs of no case: what a refused submission wrote, and what a crash left."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from datetime import timedelta

from sqlalchemy import CompoundSelect, select, true, union
from sqlalchemy.exc import OperationalError

from api.cases.tables import BlobUseRow, StagedFileRow
from api.ground.clock import now
from api.ground.database import DatabaseAway
from api.ground.ground import Ground

log = logging.getLogger(__name__)
YOUNG = timedelta(hours=1)
PATIENCE_S, PATIENCE_AT_START_S = 5.0, 60.0
"""So long a request, and a start, wait for transactions under way."""
TABLES = (StagedFileRow, BlobUseRow)
"""That name blobs. In this order: a file that was staged becomes a case's, never the other way round."""


def in_use(among: AbstractSet[str] | None = None) -> CompoundSelect[str]:
    """A query for the blobs of cases, and of files that wait for theirs; all of them, or those ``among`` some."""
    return union(*(select(t.sha256).where(true() if among is None else t.sha256.in_(among)) for t in TABLES))


@contextmanager
def removing(ground: Ground, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Held while blobs without a case are looked for and removed; to be entered outside any transaction.

    No case comes in meanwhile, and what a killed process had asked to store is stored. Raises OperationalError where
    that takes too long.
    """
    with ground.blobs.removing():
        if ground.blobs.is_folder:
            ground.database.settle(*(table.__tablename__ for table in TABLES), patience_s=patience_s)
        yield


def discard_unused(ground: Ground, digests: AbstractSet[str]) -> None:
    """Remove those of ``digests`` that no case uses; in an object store or an outage they are left to the sweep."""
    if not digests or not ground.blobs.is_folder or ground.database.is_away:
        return
    try:
        with removing(ground):
            with ground.database.reading() as session:
                used = set(session.scalars(in_use(digests)))
            for digest in digests - used:
                ground.blobs.delete(digest)
    except (OperationalError, DatabaseAway) as error:  # whoever discards has a refusal of his own to tell
        log.warning("%d files without a case are left to the next start: %s", len(digests), type(error).__name__)


def sweep_orphans(ground: Ground) -> int:
    """Remove every blob that no case uses; gives how many. In an object store those of the last hour are left alone."""
    youngest = now() if ground.blobs.is_folder else now() - YOUNG
    removed = 0
    with removing(ground, PATIENCE_AT_START_S):
        ground.blobs.remove_unfinished()
        with ground.database.reading() as session:
            used = set(session.scalars(in_use()))
        for digest, written in list(ground.blobs.list()):
            if digest not in used and written <= youngest:
                ground.blobs.delete(digest)
                removed += 1
    return removed
