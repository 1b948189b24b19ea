"""What has moved since the serving model learned, drawn."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, render_template, request

from api.access.guard import caller, needs
from api.access.service import Role
from api.pages.wording import MODALITIES
from api.problems import NotReady
from api.services import Services
from api.watching.answers import strangeness_of
from api.watching.schemas import DriftOut, WatchingOut, WindowQuery

WINDOWS = (7, 30, 90, 365)
STRANGENESS = {strangeness_of(modality): f"Strangeness of the {word}" for modality, word in MODALITIES.items()}


def add(pages: Blueprint, services: Services) -> None:
    """Add the route."""

    @pages.get("/watching", endpoint="watching")
    @needs(Role.VIEWER)
    def show() -> str:
        days = WindowQuery.model_validate({"days": request.args.get("days", 30)}).days
        catalogue = services.ground.catalogue
        names = {v.name: v.display for v in catalogue.vitals} | {d.code: d.display for d in catalogue.diagnoses}
        names |= STRANGENESS
        found: dict[str, Any] = {"report": None}
        try:
            report = services.watching.report(caller(), days)
            found = {"report": report, "moved": _moved(report), "height": _height}
        except NotReady:
            pass  # the page says so
        return render_template("watching.html", names=names, days=days, windows=WINDOWS, **found)


def _moved(report: WatchingOut) -> list[DriftOut]:
    """What has drifted or is to be watched, the most shifted first."""
    every = (*report.inputs, *report.images, *report.strangeness, *report.outputs)
    return sorted((one for one in every if one.verdict in {"drifted", "watch"}), key=lambda one: -one.psi)


def _height(one: DriftOut) -> float:
    """The largest share of a feature's bins, to draw the others by."""
    return max((max(b.then, b.now) for b in one.bins), default=1.0) or 1.0
