"""The golden set: cases whose label an admin has locked. They judge every later model, and teach none."""

from __future__ import annotations

from api.access.service import Caller, Role
from api.audit.service import Audit
from api.cases.schemas import CaseFilter, CaseOut
from api.cases.service import Cases
from api.cases.views import case_out
from api.ground.clock import now
from api.ground.ground import Ground
from api.problems import Conflict
from api.reviews.service import settle


class GoldenSet:
    """The golden cases of each project."""

    def __init__(self, ground: Ground, audit: Audit, cases: Cases) -> None:
        self._ground, self._audit, self._cases = ground, audit, cases

    def add(self, caller: Caller, case_id: str) -> CaseOut:
        """Lock a case's label as it is now; a second time changes nothing.

        Raises:
            NotFound: no such case in the project.
            Conflict: it has no label.
        """
        caller.require(Role.ADMIN)
        with self._ground.database.transaction() as session:
            row = self._cases.row(session, caller.project_id, case_id, lock=True)
            if row.diagnoses is None:
                raise Conflict("a case without a label cannot judge: label it first, then lock the label")
            if row.golden_at is None:
                row.golden_by, row.golden_at = caller.signature, now()
                self._audit.record(session, caller, "case.golden", "case", row.id)
            return self._cases.shown(case_out(row))

    def remove(self, caller: Caller, case_id: str) -> None:
        """Let the label follow from the reviews again; a case that is not golden stays as it is. Raises NotFound."""
        caller.require(Role.ADMIN)
        with self._ground.database.transaction() as session:
            row = self._cases.row(session, caller.project_id, case_id, lock=True)
            if row.golden_at is not None:
                row.golden_by = row.golden_at = None
                settle(session, row)
                self._audit.record(session, caller, "case.ungolden", "case", row.id)

    def list(self, caller: Caller) -> list[CaseOut]:
        """Every golden case of the project, newest first."""
        found: list[CaseOut] = []
        cursor: str | None = None
        while True:
            page = self._cases.list(caller, CaseFilter(golden=True, limit=200, cursor=cursor))
            found += page.items
            if page.next_cursor is None:
                return found
            cursor = page.next_cursor
