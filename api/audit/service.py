"""The trail: one entry a call; that of a change is written in the transaction of the change itself."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.access.service import Caller, Role
from api.audit import call as calls
from api.audit.call import Call, this_machine
from api.audit.chain import append
from api.audit.schemas import AuditEventOut, AuditPage, AuditQuery
from api.audit.tables import AuditEventRow
from api.ground.database import Database

CHANGED, ANSWERED, UNCHANGED = "changed", "answered", "unchanged"
"""Results: something was changed or made; only read; to be changed, and found so already. Else a refusal's status."""
NOBODY = "not signed in"
_WAITING, _WRITTEN = "audit entries that wait for the commit", "the call that they tell"


class Audit:
    """Writes and reads the trail."""

    def __init__(self, database: Database, key: bytes) -> None:
        self._database, self._key = database, key
        database.at_commit(self._write, _mark_entered)

    def record(
        self, session: Session, caller: Caller, action: str, object_type: str, object_id: str, **detail: Any
    ) -> None:
        """Add an entry to the caller's transaction. ``detail`` must hold no patient text.

        It is written at the end of the transaction, when all else is: the chain's end is locked for that moment alone.
        Acts of one transaction that belong to one call become one entry, which names the first of them.
        """
        entry = {"action": action, "object_type": object_type, "object_id": object_id, "result": CHANGED}
        session.info.setdefault(_WAITING, []).append({**entry, **_who(caller), "detail": detail})

    def tell(self, call: Call, result: str, **detail: Any) -> None:
        """Write the entry of a call that has recorded no act: a read, or a refusal.

        It outlives a crash of this process, not the machine's: a change's commit, or an anchor's, makes it as durable.
        """
        about = {"action": call.action, "object_type": call.object_type, "object_id": call.object_id, "result": result}
        if call.cases:
            detail["cases"] = list(dict.fromkeys(call.cases))
        with self._database.transaction(flushed=False) as session:
            session.info[_WAITING] = [{**about, **_who(call.caller), "detail": detail}]

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

    def _write(self, session: Session) -> None:
        entries: list[dict[str, Any]] = session.info.pop(_WAITING, [])
        if not entries:
            return
        call = calls.current()
        session.flush()
        append(session, self._key, _of_call(call, entries) if call else [_of_job(entry) for entry in entries])
        session.info[_WRITTEN] = call


def _mark_entered(session: Session) -> None:
    call: Call | None = session.info.pop(_WRITTEN, None)
    if call is not None:
        call.entered = True


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
