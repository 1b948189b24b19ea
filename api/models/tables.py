"""Trained models and which one serves."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from api.ground.database import Base
from api.ground.fence import OfProject


class ModelRow(OfProject, Base):
    """A trained model: its bundle lies at ``settings.models_folder / id``."""

    __tablename__ = "models"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    run_id: Mapped[str | None] = mapped_column(String(40), unique=True)
    config: Mapped[str] = mapped_column(String(120))
    created_at: Mapped[datetime]
    snapshot_sha256: Mapped[str] = mapped_column(String(64))
    weights_sha256: Mapped[str] = mapped_column(String(64))
    metrics: Mapped[dict[str, Any]]
    card: Mapped[dict[str, Any]]


class PromotionRow(OfProject, Base):
    """One change of the serving model; the newest row of a project names the model that serves."""

    __tablename__ = "promotions"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"))
    previous_model_id: Mapped[str | None] = mapped_column(ForeignKey("models.id"))
    kind: Mapped[str] = mapped_column(String(12))
    """first, promote, policy or rollback."""
    reason: Mapped[str | None]
    actor: Mapped[str] = mapped_column(String(160))
    at: Mapped[datetime]
