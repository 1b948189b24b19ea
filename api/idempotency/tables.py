"""The Idempotency-Keys that came, and what each made."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from api.ground.database import Base
from api.ground.fence import OfProject


class IdempotencyKeyRow(OfProject, Base):
    """A request that was answered; written in the transaction of what it made."""

    __tablename__ = "idempotency_keys"

    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    request_sha256: Mapped[str] = mapped_column(String(64))
    object_id: Mapped[str] = mapped_column(String(40))
    """What the request made, of whatever kind: the hash tells one kind of request from another."""
    case_id: Mapped[str | None] = mapped_column(ForeignKey("cases.id", ondelete="CASCADE"), index=True)
    """The case that it is about: the key goes when the case is erased."""
    created_at: Mapped[datetime] = mapped_column(index=True)
