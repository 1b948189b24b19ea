"""Which backups were made: whoever is erased later may still be in one of them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from api.ground.database import Base


class BackupRow(Base):
    """A backup of all projects; written before the first byte is copied, so that no erasure falls in between."""

    __tablename__ = "backups"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    """The file's own name, without its folder."""
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    manifest_sha256: Mapped[str | None] = mapped_column(String(64))
    discarded_at: Mapped[datetime | None]
    """When the operator said that no copy of it is left."""
