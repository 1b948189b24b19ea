"""What a worker saw when it last looked at a project."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from api.ground.database import Base
from api.ground.fence import OfProject


class WatchRow(OfProject, Base):
    """One row a project; whoever sets ``claimed_at`` looks, so that several workers do not look at once."""

    __tablename__ = "watches"

    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    claimed_at: Mapped[datetime]
    look: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """schemas.Look as JSON; NULL until the first look is over. Holds counts and shares, nothing of a single case."""
