"""The worklist: what waits for a word first, filters, counts, what the model said last, what a reviewer said."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from api.access.guard import caller, needs
from api.access.service import Caller, Role
from api.audit.call import shows
from api.cases.schemas import CaseConditions, CaseFilter, CaseOut, Order, PreviewQuery, RawQuery
from api.cases.worklist import is_position, position
from api.ground.strict import storable
from api.ground.wire import binary
from api.pages.read_first import hidden_from
from api.pages.session import session_of_pages
from api.pages.wording import has, moment, name_of, named, person
from api.predictions.doubt import unsurest
from api.problems import Gone, Invalid
from api.services import Services

ROWS = 40
LABELLED = {"yes": True, "no": False}
KEPT = ("labelled", "diagnosis", "review", "order")
WORDS, SEALED = "q", "s"
"""What was searched for, as the form posts it, and sealed as every address carries it: it may be a patient's name."""
AT = "at"
"""Where the case stood in the list when it was opened: a review moves a case, and `next` is to go on from there."""
ORDERS: dict[Order, str] = {
    "worklist": "to review first",
    "uncertainty": "most uncertain",
    "disagreement": "most disagreement",
    "information": "most to learn from",
    "newest": "newest",
}
TABS: dict[str, str] = {
    "": "All",
    "unreviewed": "To review",
    "unsure": "Unsure",
    "reviewed": "Reviewed",
    "submitted": "Came with a label",
}
IMMUTABLE = {"Cache-Control": "private, max-age=86400"}


def add(pages: Blueprint, services: Services) -> None:
    """Add these routes."""

    @pages.get("/", endpoint="case_list")
    @needs(Role.VIEWER)
    def show() -> str:
        if request.args.get("diagnosis"):
            services.ground.catalogue.diagnosis(request.args["diagnosis"], "/diagnosis")
        kept, read_first = _filters(), services.projects.own(caller()).read_first
        asked = case_filter(kept, cursor=request.args.get("cursor") or None, limit=ROWS, read_first=read_first)
        page = services.cases.list(caller(), asked)
        shows(case.id for case in page.items)
        following = {**kept, "cursor": page.next_cursor}
        return render_template(
            "case_list.html",
            rows=_rows(services, page.items, kept, asked.order, read_first=read_first),
            asked=asked,
            labelled=kept.get("labelled", ""),
            filtered=bool(kept.keys() - {"order"}),
            tabs=_tabs(services, kept, asked),
            orders=ORDERS,
            read_first=read_first,
            first_page=asked.cursor is None,
            first_link=url_for("pages.case_list", **kept),
            next_link=url_for("pages.case_list", **following) if page.next_cursor else None,
            catalogue=services.ground.catalogue,
        )

    @pages.post("/search")
    @needs(Role.VIEWER)
    def search() -> AnyResponse:
        words = _storable(request.form.get(WORDS, ""))
        CaseConditions(q=words)  # too long is told before there is an address
        kept: dict[str, Any] = {name: request.form[name] for name in KEPT if request.form.get(name)}
        if words:
            kept[SEALED] = session_of_pages().sealed(words)
        return redirect(url_for("pages.case_list", **kept), 303)

    @pages.get("/cases/<case_id>/files/<int:n>/preview.png")
    @needs(Role.VIEWER)
    def preview(case_id: str, n: int) -> Response:
        query = PreviewQuery.model_validate(request.args.to_dict())
        png = services.files.preview(
            caller(), case_id, n, window=query.center_width(), frame=query.frame, size=query.size
        )
        return binary(png, "image/png", IMMUTABLE)

    @pages.get("/cases/<case_id>/files/<int:n>/raw")
    @needs(Role.VIEWER)
    def raw(case_id: str, n: int) -> Response:
        frame = services.files.raw(caller(), case_id, n, RawQuery.model_validate(request.args.to_dict()).frame)
        told = {"Rows": frame.rows, "Columns": frame.columns, "Slope": frame.slope, "Intercept": frame.intercept}
        headers = {f"X-{name}": repr(value) for name, value in told.items()}
        return binary(frame.data, "application/octet-stream", headers | IMMUTABLE)


def kept_filters() -> dict[str, Any]:
    """The list's filters in this request's address, and the place in it; they travel along from case to case."""
    return {name: request.args[name] for name in (SEALED, *KEPT, AT) if request.args.get(name)}


def searched() -> str | None:
    """What was searched for, which the address carries sealed.

    Raises:
        Invalid: the address has it in the clear.
        Gone: what was sealed cannot be read: the secret was changed, or the address.
    """
    if WORDS in request.args:
        raise Invalid("words have no place in an address: search by the form of the list of cases")
    token = request.args.get(SEALED)
    if not token:
        return None
    words = session_of_pages().unsealed(token)
    if words is None:
        raise Gone("what this address was searched by cannot be read any more: search again")
    return words


def _storable(words: str) -> str:
    if not storable(words):
        raise Invalid("no case holds such characters")
    return words


def case_filter(kept: dict[str, Any], *, cursor: str | None, limit: int, read_first: bool) -> CaseFilter:
    """The service's filter for those of the address.

    Where a project reads first, nothing that tells what a model or another reader said chooses or sorts: the order of
    uncertainty would say 'the model is unsure of this one'.
    """
    return CaseFilter.model_validate(
        {
            "q": searched(),
            "diagnosis": None if read_first else kept.get("diagnosis"),
            "labelled": LABELLED.get(kept.get("labelled", "")),
            "review": kept.get("review"),
            "order": "newest" if read_first else kept.get("order", "worklist"),
            "cursor": cursor,
            "limit": limit,
        }
    )


def walk_from(services: Services, who: Caller, case: CaseOut) -> dict[str, Any]:
    """From a case on: the filters with its place in the list, the next case, the way back to the list."""
    read_first = services.projects.own(who).read_first
    kept = kept_filters()
    asked = case_filter(kept, cursor=None, limit=1, read_first=read_first)
    at = kept.get(AT, "")
    if not is_position(at, asked.order):  # it came from elsewhere, or from a list in another order
        at = position(case, asked.order)
    following = services.cases.list(who, asked.model_copy(update={"cursor": at})).items
    return {
        "kept": {**kept, AT: at},
        "next_link": _link(following[0], kept, asked.order) if following else None,
        "back_link": url_for("pages.case_list", **_filters()),
    }


def _filters() -> dict[str, Any]:
    return {name: value for name, value in kept_filters().items() if name != AT}


def _link(case: CaseOut, kept: dict[str, Any], order: Order) -> str:
    return url_for("pages.case", case_id=case.id, **{**kept, AT: position(case, order)})


def _tabs(services: Services, kept: dict[str, Any], asked: CaseFilter) -> list[dict[str, Any]]:
    conditions = CaseConditions.model_validate(asked.model_dump(include=set(CaseConditions.model_fields)))
    counts = services.cases.counts(caller(), conditions).model_dump()
    return [
        {
            "text": text,
            "count": counts[state or "all"],
            "current": (asked.review or "") == state,
            "link": url_for("pages.case_list", **{**kept, "review": state or None}),
        }
        for state, text in TABS.items()
    ]


def _rows(
    services: Services, cases: list[CaseOut], kept: dict[str, Any], order: Order, *, read_first: bool
) -> list[dict[str, Any]]:
    """One query for all rows of each kind, never one a row."""
    hidden = hidden_from(services, caller(), cases, read_first=read_first)
    latest = services.predictions.newest(caller(), [case.id for case in cases if case.id not in hidden])
    return [
        {
            "case": case,
            "link": _link(case, kept, order),
            "person": person(case),
            "has": has(case),
            "hidden": case.id in hidden,
            "top": latest[case.id].diagnoses[0] if case.id in latest else None,
            "unsurest": unsurest(latest[case.id]) if case.id in latest else None,
            "labeller": name_of(case.labelled_by or ""),
            "label": named(services.ground.catalogue, case.diagnoses),
            "when": moment(case.acquired_at or case.created_at),
        }
        for case in cases
    ]
