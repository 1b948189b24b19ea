"""Projects (tenants) and how their cases are read."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.access.schemas import ProjectOut
from api.access.service import Caller, Record, Role
from api.access.tables import ProjectRow
from api.ground.database import Database
from api.problems import NotFound


class Projects:
    """The projects of this service."""

    def __init__(self, database: Database, record: Record) -> None:
        self._database = database
        self._record = record

    def own(self, caller: Caller) -> ProjectOut:
        """The caller's project."""
        with self._database.reading() as session:
            return ProjectOut.model_validate(_row(session, caller))

    def change(self, caller: Caller, *, read_first: bool) -> ProjectOut:
        """Whether a reader must write a verdict before the pages show the model's."""
        caller.require(Role.ADMIN)
        with self._database.transaction() as session:
            row = _row(session, caller)
            if row.read_first != read_first:
                row.read_first = read_first
                self._record(session, caller, "project.change", "project", row.id, read_first=read_first)
            return ProjectOut.model_validate(row)

    def list(self) -> list[ProjectOut]:
        """Every project of the machine, for whoever runs commands on it."""
        with self._database.reading() as session:
            return [
                ProjectOut.model_validate(row) for row in session.scalars(select(ProjectRow).order_by(ProjectRow.id))
            ]


def _row(session: Session, caller: Caller) -> ProjectRow:
    row = session.get(ProjectRow, caller.project_id)
    if row is None:
        raise NotFound("the project of this key is gone")
    return row
