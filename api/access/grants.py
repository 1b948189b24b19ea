"""Which claim of the provider opens which project in which role: ``configs/grants.yaml``. Nobody is in by default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from api.access.roles import Role
from clinical_mm.configs import config_folder, load_yaml

LONGEST_NAME = 120


class Line(BaseModel):
    """Whoever's claim holds ``value`` enters ``project`` as ``role``."""

    model_config = ConfigDict(extra="forbid")
    value: Annotated[str, Field(min_length=1)]
    project: Annotated[str, Field(min_length=1, max_length=120)]
    role: Role


@dataclass(frozen=True)
class Grant:
    """One project, by name, and the role in it."""

    project: str
    role: Role


class Grants(BaseModel):
    """The file."""

    model_config = ConfigDict(extra="forbid")
    claim: Annotated[str, Field(min_length=1)] = "groups"
    name: list[str] = ["name", "preferred_username", "client_id", "azp"]
    grants: list[Line] = []

    @classmethod
    def load(cls, path: Path | None = None) -> Grants:
        """The lines of a YAML file; None: the one that comes along. Raises InvalidConfig naming each faulty field."""
        return load_yaml(cls, path or config_folder() / "grants.yaml")

    def of(self, claims: Mapping[str, Any]) -> list[Grant]:
        """What these claims open, in the order of the file, each project once with its highest role."""
        held = self.values(claims)
        found: dict[str, Role] = {}
        for line in self.grants:
            if line.value in held and (line.project not in found or line.role.includes(found[line.project])):
                found[line.project] = line.role
        return [Grant(project, role) for project, role in found.items()]

    def values(self, claims: Mapping[str, Any]) -> set[str]:
        """The values of the claim: a list, one text, or texts with spaces between as in ``scope``."""
        value: Any = claims.get(self.claim)
        if value is None:  # a dot may be part of a name such as https://example.org/roles: the whole name comes first
            value = claims
            for part in self.claim.split("."):
                value = value.get(part) if isinstance(value, Mapping) else None
        if isinstance(value, str):
            return {value, *value.split()}
        return {one for one in value if isinstance(one, str)} if isinstance(value, list) else set()

    def name_of(self, claims: Mapping[str, Any]) -> str:
        """How someone is shown: the first of the named claims that is there, else the subject."""
        told = (claims.get(key) for key in (*self.name, "sub"))
        first = next((text for text in told if isinstance(text, str) and text.strip()), "unnamed")
        return " ".join("".join(c if c.isprintable() else " " for c in first).split())[:LONGEST_NAME]
