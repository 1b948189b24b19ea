"""Roles, and a caller who has one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from api.problems import Forbidden


class Role(StrEnum):
    """What a caller may do; each includes the ones before."""

    VIEWER = "viewer"
    CLINICIAN = "clinician"
    TRAINER = "trainer"
    ADMIN = "admin"

    def includes(self, needed: Role) -> bool:
        """Whether this role may do what ``needed`` may."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True)
class Caller:
    """Who is calling: a key or a person, in one project and one role."""

    project_id: str
    key_id: str
    """Of the key, or of the person whom the provider knows."""
    name: str
    role: Role
    ends_at: datetime | None = None
    """When the key ends, where that is soon."""

    @property
    def signature(self) -> str:
        """How the caller is named beside what it did: short enough for every table's column."""
        return f"{self.name} ({self.key_id})"[:160]

    def require(self, needed: Role) -> None:
        """Raise Forbidden where the role does not include ``needed``."""
        if not self.role.includes(needed):
            raise Forbidden(f"this needs the role {needed}; {self.key_id} has {self.role}")
