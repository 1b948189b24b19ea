"""The trail as it goes over the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from api.ground.ids import FORM


class AuditEventOut(BaseModel):
    """One call or act: who, when, what, from where, with what result; and its place in the hash chain."""

    model_config = ConfigDict(from_attributes=True)
    id: int
    at: datetime
    actor: str
    role: str
    action: str
    object_type: str
    object_id: str
    source: str
    route: str
    result: str
    request_id: str | None
    detail: dict[str, Any]
    previous: str
    hash: str


class AuditPage(BaseModel):
    """Entries, newest first."""

    items: list[AuditEventOut]
    next_cursor: str | None


class AuditQuery(BaseModel):
    """Which entries."""

    model_config = ConfigDict(extra="forbid")
    object_id: str | None = Field(None, pattern=f"^{FORM}$", description="an identifier; no words, which may be a name")
    action: str | None = Field(None, max_length=60)
    result: str | None = Field(
        None, max_length=20, description="`changed`, `answered`, `unchanged`, or a status such as `403`"
    )
    cursor: int | None = Field(None, ge=1, le=2**63 - 1)
    limit: int = Field(50, ge=1, le=200)
