"""The list of cases: search, filters, what the model said last, what a reviewer said."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, render_template, request, url_for

from api.access.guard import caller, needs
from api.access.service import Caller, Role
from api.cases.schemas import CaseFilter, CaseOut, PreviewQuery, RawQuery
from api.ground.wire import binary
from api.pages.wording import has, moment, name_of, named, person
from api.services import Services

ROWS = 40
LABELLED = {"yes": True, "no": False}
KEPT = ("q", "labelled", "diagnosis")
IMMUTABLE = {"Cache-Control": "private, max-age=86400"}


def add(pages: Blueprint, services: Services) -> None:
    """Add these routes."""

    @pages.get("/", endpoint="case_list")
    @needs(Role.VIEWER)
    def show() -> str:
        kept = kept_filters()
        asked = case_filter(kept, cursor=request.args.get("cursor") or None, limit=ROWS)
        page = services.cases.list(caller(), asked)
        following = {**kept, "cursor": page.next_cursor}
        return render_template(
            "case_list.html",
            rows=_rows(services, caller(), page.items, kept),
            asked=asked,
            labelled=kept.get("labelled", ""),
            filtered=bool(kept),
            first_page=asked.cursor is None,
            first_link=url_for("pages.case_list", **kept),
            next_link=url_for("pages.case_list", **following) if page.next_cursor else None,
            catalogue=services.ground.catalogue,
        )

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
    """The list's filters in this request's address; they travel along from case to case."""
    return {name: request.args[name] for name in KEPT if request.args.get(name)}


def case_filter(kept: dict[str, Any], *, cursor: str | None, limit: int) -> CaseFilter:
    """The service's filter for those of the address."""
    return CaseFilter(
        q=kept.get("q"),
        diagnosis=kept.get("diagnosis"),
        labelled=LABELLED.get(kept.get("labelled", "")),
        cursor=cursor,
        limit=limit,
    )


def _rows(services: Services, who: Caller, cases: list[CaseOut], kept: dict[str, Any]) -> list[dict[str, Any]]:
    latest = services.predictions.newest(who, [case.id for case in cases])
    return [
        {
            "case": case,
            "link": url_for("pages.case", case_id=case.id, **kept),
            "person": person(case),
            "has": has(case),
            "top": latest[case.id].diagnoses[0] if case.id in latest else None,
            "labeller": name_of(case.labelled_by or ""),
            "label": named(services.ground.catalogue, case.diagnoses),
            "when": moment(case.acquired_at or case.created_at),
        }
        for case in cases
    ]
