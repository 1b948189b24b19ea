"""Certificates: what was erased, when and by whom; nothing of the patient."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from api.ground.database import Base
from api.ground.fence import OfProject


class ErasureRow(OfProject, Base):
    """One erasure; written in the transaction that erases."""

    __tablename__ = "erasures"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(160))
    certificate: Mapped[dict[str, Any]]
    """schemas.Erased as JSON."""
    blobs_left: Mapped[list[str]]
    """SHA-256 of the objects that the store has not removed yet; empty unless it was away."""
