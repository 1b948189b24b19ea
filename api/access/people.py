"""People of the provider: who they are here, what its claims let them do, and who is blocked whatever it says."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Select, delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from api.access.grants import Grant, Grants
from api.access.identity import Identity
from api.access.roles import Caller
from api.access.schemas import PersonOut
from api.access.service import Record, project_id_of
from api.access.tables import PersonRow, SessionRow
from api.access.uses import Uses
from api.ground.clock import now
from api.ground.database import Database
from api.ground.ids import new_id
from api.ground.scope import everywhere
from api.problems import Forbidden, NotFound, Unauthenticated

PROJECT_HEADER = "Clinical-MM-Project"


@dataclass(frozen=True)
class Person:
    """Someone, and what is open to them."""

    id: str
    name: str
    grants: list[Grant]


class People:
    """Knows people by issuer and subject; a name may change, and may be another's too."""

    def __init__(self, database: Database, record: Record, uses: Uses, grants: Grants) -> None:
        self._database, self._record, self._uses, self._grants = database, record, uses, grants

    def person(self, identity: Identity) -> Person:
        """Who this is; met for the first time, remembered.

        Raises:
            Forbidden: nothing is open to them.
            Unauthenticated: they are blocked here.
        """
        grants = self._grants.of(identity.claims)
        if not grants:
            raise Forbidden("the sign-in service knows you, but no project here is open to you: ask whoever runs it")
        row = self._row(identity)
        self._uses.note(row)
        return Person(row.id, row.name, grants)

    def caller(self, person: Person, project: str | None = None) -> Caller:
        """Someone as a caller in one project, the first that is open to them where none is named.

        Raises:
            Forbidden: that project is not open to them.
        """
        grant = next((grant for grant in person.grants if project in {None, grant.project}), None)
        if grant is None:
            raise Forbidden(f"the project {project!r} is not open to you")
        return Caller(project_id_of(self._database, grant.project), person.id, person.name, grant.role)

    def still(self, person_id: str) -> str:
        """The name of someone whose session goes on; raises Unauthenticated where they are blocked meanwhile."""
        with everywhere("people belong to no project"), self._database.reading() as session:
            row = session.get(PersonRow, person_id)
        _refuse_blocked(row)
        assert row is not None  # noqa: S101 - for the type checker
        self._uses.note(row)
        return row.name

    def list(self) -> list[PersonOut]:
        """Everyone who ever came, for whoever runs commands on the machine."""
        with self._database.reading() as session:
            rows = list(session.scalars(select(PersonRow).order_by(PersonRow.id)))
        return [PersonOut.model_validate(row).model_copy(update={"last_used_at": self._uses.last(row)}) for row in rows]

    def block(self, operator: Caller, person_id: str, *, blocked: bool) -> None:
        """Shut someone out now, sessions too, or let them in again by a new sign-in; raises NotFound."""
        with everywhere("sessions may be in any project"), self._database.transaction() as session:
            row = session.get(PersonRow, person_id)
            if row is None:
                raise NotFound(f"no person {person_id}")
            if (row.blocked_at is not None) != blocked:
                row.blocked_at = now() if blocked else None
                session.execute(delete(SessionRow).where(SessionRow.person_id == person_id))
                self._record(session, operator, "person.block" if blocked else "person.unblock", "person", person_id)

    def _row(self, identity: Identity) -> PersonRow:
        name = self._grants.name_of(identity.claims)
        with everywhere("people belong to no project"):
            with self._database.reading() as session:
                row = _known(session, identity)
            if row is None or row.name != name:
                row = self._remember(identity, name)
        _refuse_blocked(row)
        return row

    def _remember(self, identity: Identity, name: str) -> PersonRow:
        try:
            with self._database.transaction() as session:
                row = _known(session, identity)
                if row is None:
                    row = PersonRow(
                        id=new_id("person"),
                        issuer=identity.issuer,
                        subject=identity.subject,
                        name=name,
                        created_at=now(),
                    )
                    session.add(row)
                row.name = name
                return row
        except IntegrityError:  # another request met them meanwhile
            with self._database.reading() as session:
                return session.scalars(_of(identity)).one()


def _of(identity: Identity) -> Select[PersonRow]:
    return select(PersonRow).where(PersonRow.issuer == identity.issuer, PersonRow.subject == identity.subject)


def _known(session: Session, identity: Identity) -> PersonRow | None:
    return session.scalars(_of(identity)).first()


def _refuse_blocked(row: PersonRow | None) -> None:
    if row is None or row.blocked_at is not None:
        raise Unauthenticated("you are blocked here: ask whoever runs this server")
