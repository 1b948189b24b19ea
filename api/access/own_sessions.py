"""Where else one is signed in, and an end to it: the sessions of one person, or of one key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, func, or_, select

from api.access.roles import Caller
from api.access.service import Record
from api.access.sessions import BrowserSessions, session_id
from api.access.tables import SessionRow
from api.ground.clock import now
from api.ground.database import Database
from api.ground.scope import everywhere
from api.problems import Forbidden, NotFound

LATELY = timedelta(minutes=15)
"""To end sessions one has proved so lately who one is: whoever finds a browser open shuts nobody out elsewhere."""
NUMBER = 12
"""So many letters of a session's name, which is a hash, name it to people and in the trail."""
WHY = "a person's sessions may be in any project"


@dataclass(frozen=True)
class OwnSession:
    """One browser that is signed in."""

    number: str
    """By which the trail and the page name it; it opens nothing."""
    begun_at: datetime
    used_at: datetime
    address: str | None
    browser: str | None
    is_this: bool
    is_a_persons: bool
    proved_lately: bool


class OwnSessions:
    """Lists and ends them. A ``secret`` is what the cookie of the browser that asks holds."""

    def __init__(self, database: Database, record: Record, sessions: BrowserSessions) -> None:
        self._database, self._record, self._sessions = database, record, sessions

    def list(self, caller: Caller, secret: str) -> list[OwnSession]:
        """Those that live, the one used last first."""
        with everywhere(WHY), self._database.reading() as session:
            rows = list(session.scalars(select(SessionRow).where(_is_of(caller))))
        found = [self._shown(row, session_id(secret)) for row in rows if self._sessions.is_alive(row)]
        return sorted(found, key=lambda one: one.used_at, reverse=True)

    def end(self, caller: Caller, secret: str, number: str) -> None:
        """Sign a browser out.

        Raises:
            Forbidden: the caller has not proved lately who they are.
            NotFound: no session of the caller's has this number.
        """
        if not self._end(caller, secret, func.substr(SessionRow.id, 1, NUMBER) == number):
            raise NotFound("this session has ended already, or is not yours")

    def end_others(self, caller: Caller, secret: str) -> None:
        """Sign all other browsers out; raises Forbidden as ``end`` does."""
        self._end(caller, secret, SessionRow.id != session_id(secret))

    def _end(self, caller: Caller, secret: str, which: ColumnElement[bool]) -> int:
        with everywhere(WHY), self._database.transaction() as session:
            here = session.get(SessionRow, session_id(secret))
            if here is None or not _is_proved_lately(here):
                raise Forbidden("sign in again first: whoever ends sessions has shown lately who they are")
            ended = list(session.scalars(select(SessionRow.id).where(_is_of(caller), which)))
            session.execute(delete(SessionRow).where(SessionRow.id.in_(ended)))
            for one in ended:
                self._record(session, caller, "session.end", "session", one[:NUMBER])
        return len(ended)

    def _shown(self, row: SessionRow, here: str) -> OwnSession:
        return OwnSession(
            number=row.id[:NUMBER],
            begun_at=row.created_at,
            used_at=self._sessions.used_at(row),
            address=row.address,
            browser=row.browser,
            is_this=row.id == here,
            is_a_persons=row.person_id is not None,
            proved_lately=_is_proved_lately(row),
        )


def _is_of(caller: Caller) -> ColumnElement[bool]:
    return or_(SessionRow.key_id == caller.key_id, SessionRow.person_id == caller.key_id)


def _is_proved_lately(row: SessionRow) -> bool:
    return row.proved_at is not None and row.proved_at + LATELY > now()
