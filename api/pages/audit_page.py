"""Who did what: the trail, newest first, and what is known of its chain (role admin)."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, render_template, request, url_for

from api.access.guard import caller, needs
from api.access.service import Role
from api.audit.schemas import AuditQuery
from api.audit.seen import read_verified
from api.services import Services

ROWS = 50
FILTERS = ("object_id", "action", "result")
RESULTS = ("changed", "answered", "unchanged", "401", "403", "404", "409", "412", "422")


def add(pages: Blueprint, services: Services) -> None:
    """Add the route."""

    @pages.get("/audit", endpoint="audit")
    @needs(Role.ADMIN)
    def show() -> str:
        kept: dict[str, Any] = {name: text for name in FILTERS if (text := request.args.get(name, "").strip())}
        wanted = AuditQuery.model_validate({**kept, "cursor": request.args.get("cursor") or None, "limit": ROWS})
        page = services.audit.list(caller(), wanted)
        following = {**kept, "cursor": page.next_cursor}
        return render_template(
            "audit.html",
            rows=page.items,
            kept=kept,
            results=RESULTS,
            verified=read_verified(services.ground.settings.trail_folder),
            anchored=services.anchors.newest(),
            first_link=url_for("pages.audit", **kept) if wanted.cursor else None,
            next_link=url_for("pages.audit", **following) if page.next_cursor else None,
        )
