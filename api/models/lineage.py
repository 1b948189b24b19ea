"""From a model back to each case that made it: its part, its label then and now, and whether it is still stored."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from api.access.service import Caller
from api.cases.tables import CaseRow
from api.ground.ground import Ground
from api.models.schemas import UsedCaseOut, UsedCases
from api.models.service import Models
from api.problems import Invalid, NotFound, PointedError
from clinical_mm.bundle_layout import MANIFEST
from clinical_mm.manifest import Manifest, UsedCase

AT_ONCE = 500
"""Ids in one query: SQLite takes so many variables on every build."""


class Lineage:
    """What each model of a project was made of."""

    def __init__(self, ground: Ground, models: Models) -> None:
        self._ground, self._models = ground, models

    def cases(self, caller: Caller, model_id: str, limit: int, cursor: str | None) -> UsedCases:
        """A page of the cases of a model's snapshot, in its order.

        Raises:
            NotFound: no such model in the project, or it is older than manifests are.
            Invalid: the cursor is none of ours.
        """
        manifest = self._manifest(caller, model_id)
        start = _start(cursor)
        shown = manifest.cases[start : start + limit]
        labels = self._labels(caller, [used.case for used in manifest.cases])
        end = start + len(shown)
        return UsedCases(
            model=model_id,
            manifest_sha256=manifest.sha256,
            cases=len(manifest.cases),
            gone=sum(used.case not in labels for used in manifest.cases),
            items=[_out(used, labels) for used in shown],
            next_cursor=str(end) if end < len(manifest.cases) else None,
        )

    def _manifest(self, caller: Caller, model_id: str) -> Manifest:
        self._models.get(caller, model_id)
        path = self._models.bundle_folder(model_id) / MANIFEST
        if not path.exists():
            raise NotFound(
                f"model {model_id} is older than manifests are: its bundle's docs/split.json names its cases"
            )
        return Manifest.load(path)

    def _labels(self, caller: Caller, ids: list[str]) -> dict[str, list[str] | None]:
        """Of those cases that are stored in the project."""
        found: dict[str, list[str] | None] = {}
        with self._ground.database.reading() as session:
            for start in range(0, len(ids), AT_ONCE):
                some = CaseRow.id.in_(ids[start : start + AT_ONCE])
                query = select(CaseRow.id, CaseRow.diagnoses).where(CaseRow.project_id == caller.project_id, some)
                found.update((case, label) for case, label in session.execute(query))
        return found


def _out(used: UsedCase, labels: dict[str, Any]) -> UsedCaseOut:
    return UsedCaseOut(
        case_id=used.case,
        part=used.part,
        diagnoses=None if used.diagnoses is None else list(used.diagnoses),
        stored=used.case in labels,
        diagnoses_now=labels.get(used.case),
        content_sha256=used.content_sha256,
    )


def _start(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not cursor.isascii() or not cursor.isdigit():
        fault = PointedError(pointer="/cursor", detail="no cursor of this list: take next_cursor as it came")
        raise Invalid("the cursor does not fit", errors=[fault])
    return int(cursor)
