"""Keys, roles, projects: who is calling, and may they."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from api.access.limits import Limits
from api.access.roles import Caller, Role
from api.access.schemas import ApiKeyOut
from api.access.tables import ApiKeyRow, ProjectRow
from api.access.uses import Uses
from api.ground.algorithms import key_hasher
from api.ground.clock import now
from api.ground.database import Database
from api.ground.ids import new_id
from api.ground.scope import everywhere
from api.problems import NotFound, TooBusy, Unauthenticated
from clinical_mm.digests import content_hash

__all__ = ["DEFAULT_PROJECT", "Access", "Caller", "Record", "Role", "project_id_of"]
DEFAULT_PROJECT = "default"
REMEMBERED_S = 300
"""How long a verified secret need not be hashed again; revocation is looked up at every request all the same."""
HASHED_AT_ONCE, PATIENCE_S = 2, 1.0
"""Each hash takes 19 MB and some 20 ms of a core: a flood of wrong keys must leave the others theirs."""
ENDS_SOON = timedelta(days=14)

Record = Callable[..., None]
"""Writes an audit entry into a transaction; the trail's own room lies above this one."""


class Access:
    """Makes, checks and revokes keys."""

    def __init__(self, database: Database, record: Record, limits: Limits | None = None) -> None:
        """``limits``: where failures are counted; None = nowhere."""
        self._database = database
        self._record = record
        self._limits = limits
        self.uses = Uses(database)
        self._hasher = key_hasher()
        self._hashing = threading.BoundedSemaphore(HASHED_AT_ONCE)
        self._verified: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def authenticate(self, presented: str, address: str = "") -> Caller:
        """The caller that a key opens for.

        Raises:
            Unauthenticated: it opens for nobody.
            RateLimited: too many from this address did not; a key that was right a few minutes ago is let in all the
                same, so that nobody is locked out by others of their address.
        """
        try:
            row = self._row_of(presented, address)
        except Unauthenticated:
            if self._limits is not None:
                self._limits.count_failure(address)
            raise
        caller = _caller(row)  # a key that has ended is no guess, and counts as none
        self.uses.note(row)
        return caller

    def caller_of(self, key_id: str) -> Caller:
        """The caller of a key already verified (a session); raises Unauthenticated when it has ended since."""
        with everywhere("the key tells the project"), self._database.reading() as session:
            row = session.get(ApiKeyRow, key_id)
        if row is None:
            raise Unauthenticated("the key of this session is gone: sign in again")
        self.uses.note(row)
        return _caller(row)

    def operator(self, project: str = DEFAULT_PROJECT) -> Caller:
        """Whoever runs commands on the machine itself: admin, named so in the audit trail."""
        return Caller(project_id_of(self._database, project), "command-line", "command line", Role.ADMIN)

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
            rows = list(session.scalars(query))
        return [ApiKeyOut.model_validate(row).model_copy(update={"last_used_at": self.uses.last(row)}) for row in rows]

    def revoke(self, caller: Caller, key_id: str) -> None:
        """End a key now; raises NotFound."""
        caller.require(Role.ADMIN)
        with self._database.transaction() as session:
            row = session.get(ApiKeyRow, key_id)
            if row is None or row.project_id != caller.project_id:
                raise NotFound("no such key in this project")
            row.revoked_at = row.revoked_at or now()
            self._record(session, caller, "key.revoke", "key", key_id)

    def _row_of(self, presented: str, address: str) -> ApiKeyRow:
        key_id = _key_id(presented)
        with everywhere("the key tells the project"), self._database.reading() as session:
            row = session.get(ApiKeyRow, key_id)
        if row is None or not self._is_remembered(row, presented):
            if self._limits is not None:
                self._limits.refuse_guessing(address)
            if row is None or not self._matches(row, presented):
                raise Unauthenticated("the API key is not valid")
        return row

    def _is_remembered(self, row: ApiKeyRow, presented: str) -> bool:
        with self._lock:
            known, until = self._verified.get(row.id, ("", 0.0))
        return until > time.monotonic() and secrets.compare_digest(known, _digest(presented))

    def _matches(self, row: ApiKeyRow, presented: str) -> bool:
        if not self._hashing.acquire(timeout=PATIENCE_S):
            raise TooBusy("too many keys are being checked: try again", retry_after_s=1)
        try:
            self._hasher.verify(row.secret_hash, presented)
        except (VerificationError, InvalidHashError):
            return False
        finally:
            self._hashing.release()
        with self._lock:
            self._verified[row.id] = (_digest(presented), time.monotonic() + REMEMBERED_S)
        return True


def _digest(presented: str) -> str:
    return content_hash(presented.encode()).hexdigest()


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
    ends_soon = row.expires_at is not None and row.expires_at <= now() + ENDS_SOON
    return Caller(row.project_id, row.id, row.name, Role(row.role), row.expires_at if ends_soon else None)


def project_id_of(database: Database, name: str) -> str:
    """The id of the project of a name, which is made where there is none."""
    with everywhere("a project is looked up by its name"):
        with database.reading() as session:
            found = session.scalar(select(ProjectRow.id).where(ProjectRow.name == name))
        if found is not None:
            return found
        with database.transaction() as session:
            return _project(session, name).id


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
