"""Lines of imports that wait their turn and tell of a patient who is being erased."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from api.bulk.tables import BulkItemRow, BulkRunRow
from api.cases.tables import StagedFileRow

REASON = "its patient was erased"


@dataclass(frozen=True)
class Waiting:
    """What was taken out."""

    lines: int
    objects: list[str]
    """SHA-256 of files that no other line names."""
    since: datetime | None
    """When the oldest of their imports came."""


NOTHING = Waiting(0, [], None)


def take_out(session: Session, project_id: str, is_theirs: Callable[[str], bool]) -> Waiting:
    """Take a patient's lines out of the imports that wait, within a transaction; ``is_theirs`` knows ids as sent."""
    query = select(BulkItemRow, BulkRunRow.created_at).join(BulkRunRow, BulkRunRow.id == BulkItemRow.run_id)
    query = query.where(BulkRunRow.project_id == project_id, BulkItemRow.document.is_not(None))
    named: defaultdict[tuple[str, bool], set[str]] = defaultdict(set)
    begun = []
    for item, created_at in session.execute(query.with_for_update(of=BulkItemRow)):
        patient, files = _told(item.document or "")
        theirs = is_theirs(patient)
        named[item.run_id, theirs] |= files
        if theirs:
            begun.append(created_at)
            item.document, item.outcome, item.reason = None, "refused", REASON
    objects: set[str] = set()
    for run_id in {run_id for run_id, theirs in named if theirs}:
        names = named[run_id, True] - named[run_id, False]
        gone = delete(StagedFileRow).where(StagedFileRow.run_id == run_id, StagedFileRow.name.in_(names))
        objects |= set(session.scalars(gone.returning(StagedFileRow.sha256)))
    return Waiting(len(begun), sorted(objects), min(begun, default=None))


def _told(line: str) -> tuple[str, set[str]]:
    """The patient of a line as it was sent, and the files that it names; a line that is no case tells neither."""
    try:
        data: Any = json.loads(line)
        return str(data["patient"]["id"]), {str(name) for name in data.get("files") or []}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return "", set()
