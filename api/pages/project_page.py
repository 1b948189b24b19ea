"""What an admin decides for a project: how its cases are read, and what is done with who they are about."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from api.access.guard import caller, needs
from api.access.schemas import Deidentify, ProjectChange
from api.access.service import Role
from api.services import Services

IDENTITY: dict[Deidentify, tuple[str, str]] = {
    "keep": ("Keep", "Cases are stored byte for byte as they are sent."),
    "pseudonymise": (
        "Pseudonymise",
        "Ids become pseudonyms, dates move, notes are masked, files are de-identified by DICOM PS3.15.",
    ),
    "refuse": ("Refuse", "A case that tells who it is about is refused; the sender de-identifies."),
}


def add(pages: Blueprint, services: Services) -> None:
    """Add these routes."""

    @pages.get("/project", endpoint="project")
    @needs(Role.ADMIN)
    def show() -> str:
        project = services.projects.own(caller())
        return render_template("project.html", project=project, identity=IDENTITY, saved="saved" in request.args)

    @pages.post("/project")
    @needs(Role.ADMIN)
    def change() -> AnyResponse:
        sent = {"deidentify": request.form.get("deidentify"), "read_first": "read_first" in request.form}
        services.projects.change(caller(), ProjectChange.model_validate(sent))
        return redirect(url_for("pages.project", saved=1), 303)


def identity_view(told: dict[str, Any] | None) -> dict[str, Any] | None:
    """What a case's page says of what was removed on the way in; None where nothing was looked for."""
    if told is None:
        return None
    summary = [_counted(len(names), "attribute", "attributes", what) for what, names in told["attributes"].items()]
    summary += [_counted(n, *_COUNTED[what]) for what, n in told["counts"].items()]
    masked = [f"{n} {kind.lower()}" for kind, n in told["note"].items()]
    pixels = [
        {
            "file": found["file"] + 1,
            "why": ", ".join(found["reasons"]),
            "masked": found["masked"],
            "boxes": len(found["boxes"]),
        }
        for found in told["burned_in"]
    ]
    return {**told, "summary": summary, "masked": masked, "pixels": pixels}


def _counted(number: int, one: str, many: str, what: str) -> str:
    return f"{number} {one if number == 1 else many} {what}"


_COUNTED = {
    "uids": ("UID", "UIDs", "replaced"),
    "dates": ("date", "dates", "moved"),
    "private": ("private attribute", "private attributes", "removed"),
    "unknown": ("unknown attribute", "unknown attributes", "removed"),
    "overlays": ("overlay attribute", "overlay attributes", "removed"),
    "metadata": ("piece of metadata", "pieces of metadata", "removed"),
}
