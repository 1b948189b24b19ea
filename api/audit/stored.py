"""The stored trail as the walk and the export take it: page by page, each in a transaction of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from api.audit.anchor import read_anchors
from api.audit.chain import EVENTS, HEAD, Entry, written
from api.audit.verify import Verdict, Walk, check_anchored, check_head
from api.ground.database import Database

PAGE = 2000


def verify_stored(
    database: Database, anchors: Path, key: bytes, progress: Callable[[int], object] = lambda _: None
) -> Verdict:
    """Walk the whole stored trail and hold it against its signed end and its anchors.

    What is added meanwhile is walked too. ``progress`` is told how many entries each step walked.
    """
    with database.reading() as session:
        before = _head(session)
    walk = Walk(read_anchors(anchors, key) if anchors.exists() else ())  # after `before`: they reach at least as far
    while True:
        with database.reading() as session:
            head = _head(session)
            rows = list(_after(session, walk.found.last))
        if not rows:
            break
        for sequence, entry in rows:
            if entry is None:
                walk.unreadable(sequence)
            else:
                walk.take(entry)
        progress(len(rows))
    _check_count(database, walk)
    check_head(walk, head, key)  # no entry came between the head and the empty page: a head moves with its entries
    found = walk.end()
    check_anchored(found, before)
    return found


def count(database: Database) -> int:
    """How many entries are stored."""
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(EVENTS)) or 0


def entries(database: Database, since: datetime | None = None, until: datetime | None = None) -> Iterator[Entry]:
    """The entries from the first at or after ``since`` to the last before ``until``, without a gap between."""
    with database.reading() as session:
        first = session.scalar(select(func.min(EVENTS.c.id)).where(*([EVENTS.c.at >= since] if since else [])))
        last = session.scalar(select(func.max(EVENTS.c.id)).where(*([EVENTS.c.at < until] if until else [])))
    at = first - 1 if first is not None and last is not None else 0
    while last is not None and first is not None and at < last:
        query = select(EVENTS).where(EVENTS.c.id > at, EVENTS.c.id <= last).order_by(EVENTS.c.id).limit(PAGE)
        with database.reading() as session:
            rows = [written(dict(row)) for row in session.execute(query).mappings()]
        if not rows:
            return
        yield from rows
        at = rows[-1]["id"]


def _check_count(database: Database, walk: Walk) -> None:
    """Whether more entries are stored than were walked: before the first, or twice under one number."""
    with database.reading() as session:
        stored = session.scalar(select(func.count()).where(EVENTS.c.id <= walk.found.last)) or 0
    if stored > walk.found.entries:
        walk.found.tell(None, "inserted", f"{stored - walk.found.entries} entries are stored beside the chain")


def _head(session: Session) -> Entry | None:
    found = session.execute(select(HEAD)).mappings().first()
    return None if found is None else dict(found)


def _after(session: Session, sequence: int) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """The next page; None in place of an entry that holds what its columns cannot."""
    query = select(EVENTS).order_by(EVENTS.c.id)
    try:
        rows = session.execute(query.where(EVENTS.c.id > sequence).limit(PAGE)).mappings().all()
        yield from [(row["id"], written(dict(row))) for row in rows]
    except (ValueError, TypeError):
        later = select(EVENTS.c.id).where(EVENTS.c.id > sequence).order_by(EVENTS.c.id).limit(PAGE)
        for found in list(session.scalars(later)):
            yield found, _one(session, EVENTS.c.id == found)


def _one(session: Session, which: ColumnElement[bool]) -> dict[str, Any] | None:
    try:
        return written(dict(session.execute(select(EVENTS).where(which)).mappings().one()))
    except (ValueError, TypeError, AttributeError, SQLAlchemyError):
        return None
