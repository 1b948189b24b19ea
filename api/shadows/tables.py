"""Which model is the shadow of a project's serving one, and what it said."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from api.ground.database import Base
from api.ground.fence import OfProject


class ShadowRow(OfProject, Base):
    """A model's time as a shadow; in force until it is ended or the model itself comes to serve."""

    __tablename__ = "shadows"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"), index=True)
    promotion_id: Mapped[int] = mapped_column(ForeignKey("promotions.id"))
    """What made the model serve that served when this began; a later one of ``model_id`` ends it."""
    since: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(160))
    ended_at: Mapped[datetime | None]
    fault: Mapped[str | None]
    """Why it cannot score at present; taken away by the next score."""
    worker: Mapped[str | None] = mapped_column(String(120))
    claimed_until: Mapped[datetime | None]
    """Which worker scores, and until when no other takes over."""


class ShadowPredictionRow(OfProject, Base):
    """What a shadow said of the case of a prediction, or the kind of error that it met; gone with the prediction."""

    __tablename__ = "shadow_predictions"

    prediction_id: Mapped[str] = mapped_column(ForeignKey("predictions.id", ondelete="CASCADE"), primary_key=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"), primary_key=True, index=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    created_at: Mapped[datetime]
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """As a prediction's."""
    error: Mapped[str | None] = mapped_column(String(80))
