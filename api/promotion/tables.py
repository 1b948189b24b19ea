"""What came of each comparison of a new model with the one that served."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from api.ground.database import Base
from api.ground.fence import OfProject


class DecisionRow(OfProject, Base):
    """One comparison; ``result`` holds the policy as it was, the reasons and every number."""

    __tablename__ = "decisions"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"), index=True)
    champion_id: Mapped[str] = mapped_column(ForeignKey("models.id"))
    run_id: Mapped[str | None] = mapped_column(String(40), unique=True)
    outcome: Mapped[str] = mapped_column(String(12))
    """promote, hold or reject."""
    result: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(160))
