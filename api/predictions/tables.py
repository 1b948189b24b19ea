"""What a model said about a case."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from api.ground.database import Base
from api.ground.fence import OfProject


class PredictionRow(OfProject, Base):
    """A stored answer; ``case_version`` tells which state of the case it saw."""

    __tablename__ = "predictions"
    __table_args__ = (
        Index("ix_predictions_case_created", "case_id", "created_at"),
        Index("ix_predictions_model_id_id", "model_id", "id"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id", ondelete="CASCADE"))
    case_version: Mapped[int]
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"))
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(160))
    result: Mapped[dict[str, Any]]
    """diagnoses, prediction_set, modalities, warnings, abstained - as the contract shows them."""
