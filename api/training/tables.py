"""Training runs: durable jobs whose state anyone may ask for; and the workers that carry them out."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from api.ground.database import Base
from api.ground.runs import RunRow


class TrainingRunRow(RunRow):
    """A training."""

    __tablename__ = "training_runs"

    config: Mapped[str] = mapped_column(String(120))
    overrides: Mapped[dict[str, Any]]
    filter: Mapped[dict[str, Any]]
    labels: Mapped[str] = mapped_column(String(12), server_default="newest")
    """Which label teaches where reviewers disagree (reviews/adjudication.py)."""
    start_from: Mapped[str | None] = mapped_column(ForeignKey("models.id"))
    label_report: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """Which labels taught, and which the policy left out (reviews/teaching.py)."""
    model_id: Mapped[str | None] = mapped_column(ForeignKey("models.id"))


class WorkerRow(Base):
    """A worker that lives, or did (heartbeat.py)."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(120), primary_key=True)
    token: Mapped[str] = mapped_column(String(40), unique=True)
    host: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int]
    seen_at: Mapped[datetime]
