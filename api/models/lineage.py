"""From a model back to each case that made it: its part, its label then and now, and whether it is still stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from api.access.service import Caller
from api.cases.service import Cases
from api.models.schemas import UsedCaseOut, UsedCases
from api.models.service import Models
from api.problems import Invalid, NotFound, PointedError
from clinical_mm.manifest import UsedCase

Labels = Mapping[str, Sequence[str] | None]


class Lineage:
    """What each model of a project was made of."""

    def __init__(self, cases: Cases, models: Models) -> None:
        self._cases, self._models = cases, models

    def cases(self, caller: Caller, model_id: str, limit: int, cursor: str | None) -> UsedCases:
        """A page of the cases of a model's snapshot, in its order.

        Raises:
            NotFound: no such model in the project, or it is older than manifests are.
            Invalid: the cursor is none of ours.
        """
        model = self._models.get(caller, model_id)
        manifest = self._models.manifest(model_id)
        if manifest is None:
            raise NotFound(
                f"model {model_id} is older than manifests are: its bundle's docs/split.json names its cases"
            )
        start = _start(cursor)
        shown = manifest.cases[start : start + limit]
        labels = self._cases.labels(caller, [used.case for used in shown])
        end = start + len(shown)
        return UsedCases(
            model=model_id,
            manifest_sha256=model.card["data"]["manifest_sha256"],
            cases=len(manifest.cases),
            gone=len({used.case for used in manifest.cases} - self._cases.ids(caller)),
            items=[_out(used, labels) for used in shown],
            next_cursor=str(end) if end < len(manifest.cases) else None,
        )


def _out(used: UsedCase, labels: Labels) -> UsedCaseOut:
    now = labels.get(used.case)
    return UsedCaseOut(
        case_id=used.case,
        part=used.part,
        diagnoses=None if used.diagnoses is None else list(used.diagnoses),
        stored=used.case in labels,
        label_from=list(used.label_from),
        diagnoses_now=None if now is None else list(now),
        content_sha256=used.content_sha256,
    )


def _start(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not cursor.isascii() or not cursor.isdigit():
        fault = PointedError(pointer="/cursor", detail="no cursor of this list: take next_cursor as it came")
        raise Invalid("the cursor does not fit", errors=[fault])
    return int(cursor)
