"""Training runs: durable jobs whose state anyone may ask for; and the workers that carry them out."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from api.ground.database import Base


class TrainingRunRow(Base):
    """A run: queued, running, succeeded, failed or cancelled."""

    __tablename__ = "training_runs"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    config: Mapped[str] = mapped_column(String(120))
    overrides: Mapped[dict[str, Any]]
    filter: Mapped[dict[str, Any]]
    labels: Mapped[str] = mapped_column(String(12), server_default="newest")
    """Which label teaches where reviewers disagree (reviews/adjudication.py)."""
    start_from: Mapped[str | None] = mapped_column(ForeignKey("models.id"))
    state: Mapped[str] = mapped_column(String(12), index=True)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    progress: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    label_report: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """Which labels taught, and which the policy left out (reviews/teaching.py)."""
    worker: Mapped[str | None] = mapped_column(String(40))
    """Token of the worker process whose run it is; what another one still says of it changes nothing."""
    error: Mapped[str | None]
    model_id: Mapped[str | None] = mapped_column(ForeignKey("models.id"))
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(160))
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class WorkerRow(Base):
    """A worker that lives, or did (heartbeat.py)."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(120), primary_key=True)
    token: Mapped[str] = mapped_column(String(40), unique=True)
    host: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int]
    seen_at: Mapped[datetime]
