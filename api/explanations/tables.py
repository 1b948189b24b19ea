"""Why a model said it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from api.ground.database import Base
from api.ground.fence import OfProject


class ExplanationRow(OfProject, Base):
    """A stored explanation of one target of one prediction; heat maps are blobs."""

    __tablename__ = "explanations"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    prediction_id: Mapped[str] = mapped_column(ForeignKey("predictions.id", ondelete="CASCADE"), index=True)
    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id", ondelete="CASCADE"), index=True)
    target: Mapped[str] = mapped_column(String(64))
    method: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(160))
    result: Mapped[dict[str, Any]]
    """scale, baseline_value, value, completeness_error, modalities, text, vitals, images (file, frame, peak),
    baselines, counterfactuals; ``asked``: the baselines that were asked for."""
    image_blobs: Mapped[list[str]]
    """SHA-256 of each heat map's PNG (RGBA overlay), in the order of result["images"]."""
