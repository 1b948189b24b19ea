"""Projects (tenants), how their cases are read, and what is done with identity on the way in."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.access.schemas import Deidentify, ProjectChange, ProjectOut
from api.access.service import Caller, Record, Role
from api.access.tables import ProjectRow
from api.ground.database import Database
from api.problems import NotFound


class Projects:
    """The projects of this service; ``deidentify`` is what holds where a project does not say."""

    def __init__(self, database: Database, record: Record, deidentify: Deidentify) -> None:
        self._database = database
        self._record = record
        self._deidentify = deidentify

    def own(self, caller: Caller) -> ProjectOut:
        """The caller's project."""
        with self._database.reading() as session:
            return self._out(_row(session, caller))

    def change(self, caller: Caller, change: ProjectChange) -> ProjectOut:
        """Change what ``change`` names. Cases that are stored stay as they are, whatever is done with later ones."""
        caller.require(Role.ADMIN)
        with self._database.transaction() as session:
            row = _row(session, caller)
            wanted = {name: value for name, value in change.model_dump().items() if value is not None}
            changed = {name: value for name, value in wanted.items() if getattr(row, name) != value}
            for name, value in changed.items():
                setattr(row, name, value)
            if changed:
                self._record(session, caller, "project.change", "project", row.id, **changed)
            return self._out(row)

    def list(self) -> list[ProjectOut]:
        """Every project of the machine, for whoever runs commands on it."""
        with self._database.reading() as session:
            return [self._out(row) for row in session.scalars(select(ProjectRow).order_by(ProjectRow.id))]

    def _out(self, row: ProjectRow) -> ProjectOut:
        return ProjectOut.model_validate(
            {
                "name": row.name,
                "read_first": row.read_first,
                "deidentify": row.deidentify or self._deidentify,
                "created_at": row.created_at,
            }
        )


def _row(session: Session, caller: Caller) -> ProjectRow:
    row = session.get(ProjectRow, caller.project_id)
    if row is None:
        raise NotFound("the project of this key is gone")
    return row
