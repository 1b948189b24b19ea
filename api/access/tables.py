"""Projects (tenants) and the keys that open them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from api.ground.database import Base


class ProjectRow(Base):
    """A tenant: every other row belongs to one."""

    __tablename__ = "projects"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(120), unique=True)
    created_at: Mapped[datetime]
    read_first: Mapped[bool] = mapped_column(default=False)
    """The pages show a model's answer only to whoever has written a verdict of their own."""
    deidentify: Mapped[str | None] = mapped_column(String(20))
    """keep, pseudonymise or refuse; NULL = as the settings say."""


class ApiKeyRow(Base):
    """An API key; the secret itself is not kept, only its argon2 hash."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    name: Mapped[str] = mapped_column(String(120))
    role: Mapped[str] = mapped_column(String(20))
    secret_hash: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
