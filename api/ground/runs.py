"""What every durable run has in common, whatever it does: a row that says how far it is and whose it is."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from api.ground.database import Base
from api.ground.fence import OfProject

ENDED = ("succeeded", "failed", "cancelled")


class RunRow(OfProject, Base):
    """A run: queued, running, succeeded, failed or cancelled."""

    __abstract__ = True

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    state: Mapped[str] = mapped_column(String(12), index=True)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    progress: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    worker: Mapped[str | None] = mapped_column(String(40))
    """Token of the worker process whose run it is; what another one still says of it changes nothing."""
    error: Mapped[str | None]
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(160))
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
