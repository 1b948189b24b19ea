"""Keys as they go over the wire; secrets go once, in the answer that makes them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from clinical_mm.importing.case_json import Line, Moment


class ApiKeyIn(BaseModel):
    """A key to be made."""

    model_config = ConfigDict(extra="forbid")
    role: Literal["viewer", "clinician", "trainer", "admin"]
    name: Annotated[Line, Field(max_length=120)]
    expires_at: Moment | None = None


class ApiKeyOut(BaseModel):
    """A key without its secret."""

    model_config = ConfigDict(from_attributes=True)
    id: str
    name: str
    role: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class ApiKeyMade(ApiKeyOut):
    """A new key with its secret, shown only now."""

    secret: str


class ApiKeyList(BaseModel):
    """The project's keys."""

    items: list[ApiKeyOut]


class PersonOut(BaseModel):
    """Someone whom the provider knows and who came here."""

    model_config = ConfigDict(from_attributes=True)
    id: str
    name: str
    issuer: str
    subject: str
    created_at: datetime
    last_used_at: datetime | None
    blocked_at: datetime | None


Deidentify = Literal["keep", "pseudonymise", "refuse"]
"""What is done with identity on the way in."""


class ProjectOut(BaseModel):
    """A project, how its cases are read, and what is done with who they are about."""

    name: str
    read_first: bool
    deidentify: Deidentify
    created_at: datetime


class ProjectChange(BaseModel):
    """What may be changed; a field that is absent stays."""

    model_config = ConfigDict(extra="forbid")
    read_first: StrictBool | None = None
    deidentify: Deidentify | None = None
