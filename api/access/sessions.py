"""Browsers that are signed in: a row each, so that signing out, revoking and blocking end them at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete

from api.access.grants import Grant
from api.access.identity import SignedIn
from api.access.people import People, Person
from api.access.roles import Caller, Role
from api.access.seat import Seat
from api.access.service import Access, Record
from api.access.tables import ProjectRow, SessionRow
from api.ground.clock import now
from api.ground.database import Database
from api.ground.scope import everywhere
from api.problems import Forbidden, Unauthenticated
from clinical_mm.digests import content_hash


@dataclass(frozen=True)
class Lives:
    """How long a session lives."""

    absolute: timedelta
    idle: timedelta
    with_token: bool
    """A person's also ends with the provider's ID token."""
    sign_in: timedelta | None = None
    """A person's also ends when their sign-in at the provider is older than this."""
    by_key: bool = True
    """Whether one of a key lives at all."""


class BrowserSessions:
    """The sessions of all browsers; a ``secret`` is what the browser's cookie holds."""

    def __init__(self, database: Database, record: Record, access: Access, people: People, lives: Lives) -> None:
        self._database, self._record = database, record
        self._access, self._people, self.lives = access, people, lives

    def refuse_keys(self) -> None:
        """Raises Forbidden where keys and links open no pages."""
        if not self.lives.by_key:
            raise Forbidden("keys and links open no pages here: sign in with your organisation's account")

    def begin_by_key(self, secret: str, caller: Caller, seat: Seat) -> None:
        """Sign a browser in by a key that was checked; raises Forbidden where keys open no pages."""
        self.refuse_keys()
        self._begin(secret, caller, SessionRow(key_id=caller.key_id, grants=[], proved_at=now()), seat)

    def begin_as(self, secret: str, person: Person, found: SignedIn, seat: Seat) -> None:
        """Sign a browser in as a person whom the provider vouches for."""
        grants = [[grant.project, str(grant.role)] for grant in person.grants]
        row = SessionRow(person_id=person.id, grants=grants, id_token=found.id_token, proved_at=found.proved_at)
        ends = [found.identity.ends_at] if self.lives.with_token else []
        if self.lives.sign_in is not None and found.proved_at is not None:
            ends.append(found.proved_at + self.lives.sign_in)
        self._begin(secret, self._people.caller(person), row, seat, ends)

    def caller(self, secret: str) -> Caller:
        """Whose session it is; raises Unauthenticated where it has ended, or its key or person has."""
        with everywhere("the session tells the project"), self._database.reading() as session:
            row = session.get(SessionRow, session_id(secret))
        if row is None:
            raise Unauthenticated("this session has ended: sign in again")
        if not self.is_alive(row):
            self.end(secret)
            raise Unauthenticated("this session has ended: sign in again")
        caller = self._caller(row)
        self._access.uses.note(row)
        return caller

    def used_at(self, row: SessionRow) -> datetime:
        """When it was used last, as far as this process knows."""
        return self._access.uses.last(row) or row.last_used_at

    def is_alive(self, row: SessionRow) -> bool:
        """Whether neither of its times is over."""
        return min(row.ends_at, self.used_at(row) + self.lives.idle) > now()

    def projects(self, secret: str) -> list[tuple[str, bool]]:
        """The projects that are open to whoever's session this is, by name, and in which it is; a key has no choice."""
        with everywhere("the session tells the project"), self._database.reading() as session:
            row = session.get(SessionRow, session_id(secret))
            if row is None or len(row.grants) < 2:
                return []
            here = session.get_one(ProjectRow, row.project_id).name
        return [(str(project), project == here) for project, _ in row.grants]

    def enter(self, secret: str, project: str) -> None:
        """Go on in another project that is open to the session's person; raises Unauthenticated, Forbidden."""
        with everywhere("a session goes over to another project"):
            with self._database.reading() as session:
                row = session.get(SessionRow, session_id(secret))
            if row is None or row.person_id is None:
                raise Unauthenticated("this session has no other project")
            caller = self._people.caller(self._person(row), project)
            with self._database.transaction() as session:
                moved = session.get_one(SessionRow, row.id)
                moved.project_id = caller.project_id
                self._record(session, caller, "session.enter", "session", row.id[:12])

    def end(self, secret: str) -> str | None:
        """Sign a browser out; gives the ID token that the provider wants to see, if it vouched for the session."""
        with everywhere("the session tells the project"), self._database.transaction() as session:
            row = session.get(SessionRow, session_id(secret))
            if row is None:
                return None
            session.delete(row)
            return row.id_token

    def _begin(self, secret: str, caller: Caller, row: SessionRow, seat: Seat, ends: Sequence[datetime] = ()) -> None:
        moment = now()
        row.id, row.project_id = session_id(secret), caller.project_id
        row.created_at = row.last_used_at = moment
        row.ends_at = min([moment + self.lives.absolute, *ends])
        row.address, row.browser = seat.address, seat.browser
        with everywhere("old sessions of all projects are swept"), self._database.transaction() as session:
            session.execute(delete(SessionRow).where(SessionRow.ends_at <= moment))
            session.add(row)
            self._record(session, caller, "session.begin", "session", row.id[:12])

    def _caller(self, row: SessionRow) -> Caller:
        if row.key_id is not None:
            if not self.lives.by_key:
                raise Unauthenticated("keys open no pages here: sign in with your organisation's account")
            return self._access.caller_of(row.key_id)
        person = self._person(row)
        for grant in person.grants:
            caller = self._people.caller(person, grant.project)
            if caller.project_id == row.project_id:
                return caller
        raise Unauthenticated("this session has ended: sign in again")

    def _person(self, row: SessionRow) -> Person:
        person_id = str(row.person_id)
        grants = [Grant(project, Role(role)) for project, role in row.grants]
        return Person(person_id, self._people.still(person_id), grants)


def session_id(secret: str) -> str:
    """The name of a session's row; what the cookie holds does not follow from it."""
    return content_hash(f"session {secret}".encode()).hexdigest()
