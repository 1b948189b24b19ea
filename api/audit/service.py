"""The trail: one entry a call; that of a change is written in the transaction of the change itself."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from api.access.service import Caller, Role
from api.audit import call as calls
from api.audit.call import Call, this_machine
from api.audit.chain import EVENTS, append, hold, moment_text
from api.audit.schemas import AuditEventOut, AuditPage, AuditQuery
from api.audit.tables import AuditEventRow
from api.audit.waiting import MARK, Waiting
from api.ground.clock import now
from api.ground.database import Database, DatabaseAway
from api.ground.scope import everywhere

CHANGED, ANSWERED, UNCHANGED = "changed", "answered", "unchanged"
"""Results: something was changed or made; only read; to be changed, and found so already. Else a refusal's status."""
NOBODY = "not signed in"
CHAIN = "the trail is one chain through every project"
_RECORDED, _TOLD, _MINE, _LEFT = "audit: recorded", "audit: the call", "audit: waited", "audit: left behind"


class Audit:
    """Writes and reads the trail."""

    def __init__(self, database: Database, key: bytes, folder: Path) -> None:
        self._database, self._key, self._waiting = database, key, Waiting(folder)
        database.at_commit(self._write, self._written, self._undone)

    def record(
        self, session: Session, caller: Caller, action: str, object_type: str, object_id: str, **detail: Any
    ) -> None:
        """Add an entry to the caller's transaction. ``detail`` must hold no patient text.

        It is written at the end of the transaction, when all else is: the chain's end is locked for that moment alone.
        Acts of one transaction that belong to one call become one entry, which names the first of them.
        """
        entry = {"action": action, "object_type": object_type, "object_id": object_id, "result": CHANGED}
        session.info.setdefault(_RECORDED, []).append({**entry, **_who(caller), "detail": detail})

    def tell(self, call: Call, result: str, *, away: bool = False, **detail: Any) -> None:
        """Write the entry of a call that has recorded no act: a read, or a refusal.

        It outlives a crash of this process, not the machine's: a change's commit, or an anchor's, makes it as durable.
        Where the database cannot take it at once, or is known to be ``away``, it waits beside it (``waiting.py``).

        Raises:
            DatabaseAway, OSError: there is no room for it anywhere.
        """
        about = {"action": call.action, "object_type": call.object_type, "object_id": call.object_id, "result": result}
        if call.cases:
            detail["cases"] = list(dict.fromkeys(call.cases))
        if call.infected:
            detail["infected"] = call.infected
        entry = {**about, **_who(call.caller), "detail": detail}
        if away or not self._is_chained(entry):
            [told] = _of_call(call, [{**entry, "detail": {**detail, "waited_since": moment_text(now())}}])
            self._waiting.put(told)
            call.entered = True

    def list(self, caller: Caller, wanted: AuditQuery) -> AuditPage:
        """Entries of the caller's project, newest first."""
        caller.require(Role.ADMIN)
        query = select(AuditEventRow).where(AuditEventRow.project_id == caller.project_id)
        for name in ("object_id", "action", "result"):
            if (value := getattr(wanted, name)) is not None:
                query = query.where(getattr(AuditEventRow, name) == value)
        if wanted.cursor is not None:
            query = query.where(AuditEventRow.id < wanted.cursor)
        with self._database.reading() as session:
            rows = list(session.scalars(query.order_by(AuditEventRow.id.desc()).limit(wanted.limit + 1)))
        items = [AuditEventOut.model_validate(row) for row in rows[: wanted.limit]]
        return AuditPage(items=items, next_cursor=str(items[-1].id) if len(rows) > wanted.limit else None)

    def reserve(self) -> None:
        """Make sure that entries can wait even when the disk is full."""
        self._waiting.reserve()

    def take_up(self) -> None:
        """Chain what waits, and what processes that have died let wait."""
        if self._waiting:
            with everywhere(CHAIN), self._database.transaction() as session:
                session.info[_RECORDED] = []
        for path, left in self._waiting.left_behind():
            with everywhere(CHAIN), self._database.transaction() as session:
                hold(session)
                session.info[_RECORDED] = []
                session.info[_LEFT] = _not_chained(session, left)
            path.unlink()

    def close(self) -> None:
        """Chain what waits while the database takes it; else it is found at the next start."""
        with suppress(SQLAlchemyError):
            self.take_up()
        self._waiting.close()

    def _is_chained(self, entry: dict[str, Any]) -> bool:
        try:
            with everywhere(CHAIN), self._database.transaction(hurried=True) as session:
                session.info[_RECORDED] = [entry]
        except (DatabaseAway, OperationalError, InterfaceError, PoolTimeout):
            return False
        return True

    def _write(self, session: Session) -> None:
        """The last act of a transaction: what waited comes first, then what was recorded."""
        entries: list[dict[str, Any]] | None = session.info.pop(_RECORDED, None)
        if entries is None:
            return
        call = calls.current()
        session.flush()
        mine = session.info[_MINE] = self._waiting.take()
        told = _of_call(call, entries) if call and entries else [_of_job(entry) for entry in entries]
        append(session, self._key, [*mine, *session.info.pop(_LEFT, []), *told])
        session.info[_TOLD] = call if entries else None

    def _written(self, session: Session) -> None:
        self._waiting.forget(session.info.pop(_MINE, []))
        call: Call | None = session.info.pop(_TOLD, None)
        if call is not None:
            call.entered = True

    def _undone(self, session: Session) -> None:
        self._waiting.put_back(session.info.pop(_MINE, []))


def _not_chained(session: Session, left: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without those that were chained the moment before their process died."""
    ids = {entry["request_id"] for entry in left}
    query = select(EVENTS.c.detail).where(EVENTS.c.request_id.in_(ids))
    known = {detail.get(MARK) for detail in session.connection().scalars(query)}
    return [entry for entry in left if entry["detail"][MARK] not in known]


def _who(caller: Caller | None) -> dict[str, Any]:
    if caller is None:
        return {"project_id": None, "actor": NOBODY, "role": "none"}
    return {"project_id": caller.project_id, "actor": caller.signature, "role": str(caller.role)}


def _of_call(call: Call, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    first, *others = entries
    also = [{"action": entry["action"], "object": entry["object_id"], **entry["detail"]} for entry in others]
    detail = {**first["detail"], "also": also} if also else first["detail"]
    where = {"source": call.source, "route": call.route[:120], "request_id": call.request_id}
    return [{**first, **where, "detail": detail}]


def _of_job(entry: dict[str, Any]) -> dict[str, Any]:
    return {**entry, "source": this_machine(), "route": "", "request_id": None}
