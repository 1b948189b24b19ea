"""What has moved since the serving model learned, drawn."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, render_template, request

from api.access.guard import caller, needs
from api.access.service import Role
from api.problems import NotReady
from api.services import Services
from api.watching.schemas import DriftOut, WindowQuery

WINDOWS = (7, 30, 90, 365)


def add(pages: Blueprint, services: Services) -> None:
    """Add the route."""

    @pages.get("/watching", endpoint="watching")
    @needs(Role.VIEWER)
    def show() -> str:
        days = WindowQuery.model_validate({"days": request.args.get("days", 30)}).days
        catalogue = services.ground.catalogue
        names = {v.name: v.display for v in catalogue.vitals} | {d.code: d.display for d in catalogue.diagnoses}
        found: dict[str, Any] = {"report": None}
        try:
            report = services.watching.report(caller(), days)
            moved = [one for one in (*report.inputs, *report.outputs) if one.verdict in {"drifted", "watch"}]
            found = {"report": report, "moved": moved, "height": _height}
        except NotReady:
            pass  # the page says so
        return render_template("watching.html", names=names, days=days, windows=WINDOWS, **found)


def _height(one: DriftOut) -> float:
    """The largest share of a feature's bins, to draw the others by."""
    return max((max(b.then, b.now) for b in one.bins), default=1.0) or 1.0
