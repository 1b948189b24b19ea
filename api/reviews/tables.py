"""A reviewer's word; what is withdrawn stays, marked so."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from api.ground.database import Base
from api.ground.fence import OfProject


class ReviewRow(OfProject, Base):
    """Who said what about which prediction, and when."""

    __tablename__ = "reviews"
    __table_args__ = (Index("ix_reviews_case_created", "case_id", "created_at"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id", ondelete="CASCADE"))
    prediction_id: Mapped[str | None] = mapped_column(ForeignKey("predictions.id", ondelete="CASCADE"))
    verdict: Mapped[str] = mapped_column(String(12))
    diagnoses: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    comment: Mapped[str | None]
    reviewer: Mapped[str] = mapped_column(String(160))
    created_at: Mapped[datetime]
    case_version: Mapped[int]
    before_model: Mapped[bool] = mapped_column(default=False)
    """Written before its reader saw what the model says; it sets no label."""
    withdrawn_at: Mapped[datetime | None]
    withdrawn_by: Mapped[str | None] = mapped_column(String(160))
