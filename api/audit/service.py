"""The trail: every act on an object is written in the transaction of the act itself."""

from __future__ import annotations

from typing import Any

from flask import g, has_request_context
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.access.service import Caller, Role
from api.audit.schemas import AuditEventOut, AuditPage
from api.audit.tables import AuditEventRow
from api.ground.clock import now
from api.ground.database import Database


class Audit:
    """Writes and reads the trail."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(
        self, session: Session, caller: Caller, action: str, object_type: str, object_id: str, **detail: Any
    ) -> None:
        """Add an entry to the caller's transaction. ``detail`` must hold no patient text."""
        session.add(
            AuditEventRow(
                project_id=caller.project_id,
                at=now(),
                actor=caller.signature,
                role=str(caller.role),
                action=action,
                object_type=object_type,
                object_id=object_id,
                request_id=g.get("request_id") if has_request_context() else None,
                detail=detail,
            )
        )

    def list(
        self, caller: Caller, *, object_id: str | None = None, action: str | None = None, cursor: int | None, limit: int
    ) -> AuditPage:
        """Entries of the caller's project, newest first."""
        caller.require(Role.ADMIN)
        query = select(AuditEventRow).where(AuditEventRow.project_id == caller.project_id)
        if object_id is not None:
            query = query.where(AuditEventRow.object_id == object_id)
        if action is not None:
            query = query.where(AuditEventRow.action == action)
        if cursor is not None:
            query = query.where(AuditEventRow.id < cursor)
        with self._database.reading() as session:
            rows = list(session.scalars(query.order_by(AuditEventRow.id.desc()).limit(limit + 1)))
        items = [AuditEventOut.model_validate(row) for row in rows[:limit]]
        return AuditPage(items=items, next_cursor=str(items[-1].id) if len(rows) > limit else None)
