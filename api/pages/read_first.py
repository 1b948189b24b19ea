"""Projects that read first: until a reader has written a verdict, no page shows them what a model says of the case.

That is: explanations, similar cases, labels and reviews of others, which may repeat it, and the worklist's sort keys.
"""

from __future__ import annotations

from api.access.service import Caller
from api.cases.schemas import CaseOut
from api.problems import Conflict
from api.services import Services


def hidden_from(services: Services, who: Caller, cases: list[CaseOut], *, read_first: bool) -> set[str]:
    """Of which of these cases the caller must not see yet what a model says: one query, whatever their number."""
    if not read_first:
        return set()
    return {case.id for case in cases} - services.reviews.read_by(who, cases)


def is_hidden(services: Services, who: Caller, case: CaseOut) -> bool:
    """The same for one case."""
    return case.id in hidden_from(services, who, [case], read_first=services.projects.own(who).read_first)


def refuse_hidden(services: Services, who: Caller, case_id: str) -> None:
    """For each page's action that shows or asks for a model's word; raises Conflict, NotFound."""
    if is_hidden(services, who, services.cases.get(who, case_id)):
        raise Conflict("this project reads first: write your own verdict on the case, then the model's is shown")
