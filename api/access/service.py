"""Keys, roles, projects: who is calling, and may they."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from api.access.schemas import ApiKeyOut
from api.access.tables import ApiKeyRow, ProjectRow
from api.ground.clock import now
from api.ground.database import Database
from api.ground.ids import new_id
from api.problems import Forbidden, NotFound, Unauthenticated

DEFAULT_PROJECT = "default"
REMEMBERED_S = 300
"""How long a verified secret need not be hashed again; revocation is looked up at every request all the same."""


class Role(StrEnum):
    """What a key may do; each includes the ones before."""

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
    """Who is calling: a key of one project, in one role."""

    project_id: str
    key_id: str
    name: str
    role: Role

    @property
    def signature(self) -> str:
        """How the caller is named beside what it did: short enough for every table's column."""
        return f"{self.name} ({self.key_id})"[:160]

    def require(self, needed: Role) -> None:
        """Raise Forbidden where the role does not include ``needed``."""
        if not self.role.includes(needed):
            raise Forbidden(f"this needs the role {needed}; the key {self.key_id} has {self.role}")


Record = Callable[..., None]
"""Writes an audit entry into a transaction; the trail's own room lies above this one."""


class Access:
    """Makes, checks and revokes keys."""

    def __init__(self, database: Database, record: Record) -> None:
        self._database = database
        self._record = record
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)  # OWASP's argon2id minimum
        self._verified: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def authenticate(self, presented: str) -> Caller:
        """The caller that a key opens for; raises Unauthenticated."""
        key_id = _key_id(presented)
        with self._database.reading() as session:
            row = session.get(ApiKeyRow, key_id)
        if row is None or not self._matches(row, presented):
            raise Unauthenticated("the API key is not valid")
        return _caller(row)

    def caller_of(self, key_id: str) -> Caller:
        """The caller of a key already verified (a session); raises Unauthenticated when it has ended since."""
        with self._database.reading() as session:
            row = session.get(ApiKeyRow, key_id)
        if row is None:
            raise Unauthenticated("the key of this session is gone: sign in again")
        return _caller(row)

    def operator(self, project: str = DEFAULT_PROJECT) -> Caller:
        """Whoever runs commands on the machine itself: admin, named so in the audit trail."""
        with self._database.transaction() as session:
            return Caller(_project(session, project).id, "command-line", "command line", Role.ADMIN)

    def create_key(
        self, caller: Caller, role: Role, name: str, expires_at: datetime | None = None
    ) -> tuple[ApiKeyOut, str]:
        """A new key of the caller's project, and its secret, which is kept nowhere."""
        caller.require(Role.ADMIN)
        key_id = new_id("key")
        secret = f"cmm_{key_id.removeprefix('key_')}_{secrets.token_urlsafe(32)}"
        row = ApiKeyRow(
            id=key_id,
            project_id=caller.project_id,
            name=name,
            role=str(role),
            secret_hash=self._hasher.hash(secret),
            created_at=now(),
            expires_at=expires_at,
        )
        with self._database.transaction() as session:
            session.add(row)
            self._record(session, caller, "key.create", "key", key_id, role=str(role))
        return ApiKeyOut.model_validate(row), secret

    def list_keys(self, caller: Caller) -> list[ApiKeyOut]:
        """The project's keys, newest first."""
        caller.require(Role.ADMIN)
        query = select(ApiKeyRow).where(ApiKeyRow.project_id == caller.project_id).order_by(ApiKeyRow.id.desc())
        with self._database.reading() as session:
            return [ApiKeyOut.model_validate(row) for row in session.scalars(query)]

    def revoke(self, caller: Caller, key_id: str) -> None:
        """End a key now; raises NotFound."""
        caller.require(Role.ADMIN)
        with self._database.transaction() as session:
            row = session.get(ApiKeyRow, key_id)
            if row is None or row.project_id != caller.project_id:
                raise NotFound("no such key in this project")
            row.revoked_at = row.revoked_at or now()
            self._record(session, caller, "key.revoke", "key", key_id)

    def _matches(self, row: ApiKeyRow, presented: str) -> bool:
        digest = hashlib.sha256(presented.encode()).hexdigest()
        with self._lock:
            known, until = self._verified.get(row.id, ("", 0.0))
        if until > time.monotonic() and secrets.compare_digest(known, digest):
            return True
        try:
            self._hasher.verify(row.secret_hash, presented)
        except (VerificationError, InvalidHashError):
            return False
        with self._lock:
            self._verified[row.id] = (digest, time.monotonic() + REMEMBERED_S)
        return True


def _key_id(presented: str) -> str:
    prefix, _, rest = presented.partition("_")
    identity, _, secret = rest.partition("_")
    if prefix != "cmm" or not identity or not secret or len(presented) > 200:
        raise Unauthenticated("the API key is not valid; it looks like cmm_..._...")
    return f"key_{identity}"


def _caller(row: ApiKeyRow) -> Caller:
    if row.revoked_at is not None:
        raise Unauthenticated("the API key was revoked")
    if row.expires_at is not None and row.expires_at <= now():
        raise Unauthenticated("the API key has expired")
    return Caller(row.project_id, row.id, row.name, Role(row.role))


def _project(session: Session, name: str) -> ProjectRow:
    row = session.scalar(select(ProjectRow).where(ProjectRow.name == name))
    if row is None:
        row = ProjectRow(id=new_id("project"), name=name, created_at=now())
        try:
            with session.begin_nested():
                session.add(row)
        except IntegrityError:  # another process made it meanwhile
            row = session.scalars(select(ProjectRow).where(ProjectRow.name == name)).one()
    return row
