"""Projects (tenants), the keys that open them, people of the provider, and the sessions of browsers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, synonym

from api.ground.database import Base
from api.ground.fence import OfProject


class ProjectRow(OfProject, Base):
    """A tenant: every other row belongs to one."""

    __tablename__ = "projects"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(120), unique=True)
    created_at: Mapped[datetime]
    read_first: Mapped[bool] = mapped_column(default=False)
    """The pages show a model's answer only to whoever has written a verdict of their own."""
    project_id = synonym("id")
    deidentify: Mapped[str | None] = mapped_column(String(20))
    """keep, pseudonymise or refuse; NULL = as the settings say."""


class ApiKeyRow(OfProject, Base):
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
    last_used_at: Mapped[datetime | None]
    """Written about once a minute (uses.py)."""


class PersonRow(Base):
    """Someone whom the OpenID Connect provider knows; issuer and subject together never name another person.

    Belongs to no project: which ones a person may enter follows from the provider's claims, each time anew.
    """

    __tablename__ = "people"
    __table_args__ = (UniqueConstraint("issuer", "subject"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    issuer: Mapped[str] = mapped_column(String(400))
    subject: Mapped[str] = mapped_column(String(255))
    name: Mapped[str] = mapped_column(String(120))
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    blocked_at: Mapped[datetime | None]
    """Blocked here, whatever the provider says."""


class SessionRow(OfProject, Base):
    """A browser that is signed in, by a key or as a person; gone when it signs out."""

    __tablename__ = "sessions"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256 of what the cookie holds: whoever reads the table can enter nowhere."""
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    key_id: Mapped[str | None] = mapped_column(ForeignKey("api_keys.id"))
    person_id: Mapped[str | None] = mapped_column(ForeignKey("people.id"))
    grants: Mapped[list[Any]]
    """[[name of a project, role], ...] of a person, as the provider's claims gave them at sign-in."""
    id_token: Mapped[str | None]
    """What the provider wants to see when it is told of the sign-out."""
    address: Mapped[str | None] = mapped_column(String(80))
    browser: Mapped[str | None] = mapped_column(String(60))
    """From where it was begun, so that its owner knows it again (seat.py); NULL = begun before this was kept."""
    proved_at: Mapped[datetime | None]
    """When its owner last showed a key, or proved to the provider who they are; NULL = it does not say when."""
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime]
    ends_at: Mapped[datetime] = mapped_column(index=True)
