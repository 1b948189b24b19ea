"""The trail: who did what to which object; and the end of its chain."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from api.ground.database import Base
from api.ground.fence import OfProject

Sequence = BigInteger().with_variant(Integer, "sqlite")  # SQLite's own integers are as long


class AuditEventRow(OfProject, Base):
    """One call or act; a change's is written in the transaction of the change. Holds no patient text.

    The database refuses to change or delete a row (triggers of migration 0010). There is no foreign key: the trail
    outlives what it tells of, and an entry waits for no other row's lock.
    """

    __tablename__ = "audit_events"
    __table_args__ = (
        Index("ix_audit_events_project_at", "project_id", "at"),
        Index("ix_audit_events_action", "project_id", "action", "id"),
    )

    id: Mapped[int] = mapped_column(Sequence, primary_key=True, autoincrement=False)
    """The place in the chain: one more than that of the entry before."""
    project_id: Mapped[str | None] = mapped_column(String(40))  # type: ignore[assignment]
    """None where nobody was signed in."""
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(160))
    role: Mapped[str] = mapped_column(String(20))
    action: Mapped[str] = mapped_column(String(60))
    object_type: Mapped[str] = mapped_column(String(40))
    object_id: Mapped[str] = mapped_column(String(80), index=True)
    source: Mapped[str] = mapped_column(String(80))
    route: Mapped[str] = mapped_column(String(120))
    """The route or command; empty in jobs."""
    result: Mapped[str] = mapped_column(String(20))
    """``changed``, ``answered``, ``unchanged``, or the status of the refusal."""
    request_id: Mapped[str | None] = mapped_column(String(60))
    detail: Mapped[dict[str, Any]]
    previous: Mapped[str] = mapped_column(String(64))
    """Hash of the entry before; of the first one, zeros."""
    hash: Mapped[str] = mapped_column(String(64))


class AuditHeadRow(Base):
    """The end of the chain, in one row: whoever adds an entry locks it."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sequence: Mapped[int] = mapped_column(Sequence)
    hash: Mapped[str] = mapped_column(String(64))
    anchored: Mapped[int] = mapped_column(Sequence)
    """An entry that an anchor outside the database vouches for."""
    signature: Mapped[str] = mapped_column(String(64))
    """HMAC of the above by the installation's secret, which is not in the database."""
