"""One training run: how far it is as it goes on, what was asked for, and what came of it."""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, Response, render_template

from api.access.guard import caller, needs
from api.access.service import Role
from api.pages.labels_told import labels_told
from api.pages.loss_curve import curve_of
from api.pages.training_page import GOING, row_of
from api.services import Services
from api.training.schemas import TrainingRunOut
from api.training.watching import events, log_tail, measured

LOG_LINES = 40
RULES = {
    "newest": "the newest review that stands",
    "majority": "what more than half of the reviewers name",
    "leave-out": "only cases on which all reviewers agree",
}


def add(pages: Blueprint, services: Services) -> None:
    """Add these routes."""

    def now(run_id: str) -> dict[str, Any]:
        run = services.training.get(caller(), run_id)
        going = run.state in GOING
        planned = run.progress.epochs if run.progress and going else 0
        return {
            "run": row_of(run),
            "stage": run.progress.stage if run.progress and going else "",
            "labels": labels_told(run.label_report),
            "curve": curve_of(measured(services.training, caller(), run_id), planned),
        }

    def last_lines(run_id: str) -> str:
        return "\n".join(log_tail(services.training, caller(), run_id).splitlines()[-LOG_LINES:])

    @pages.get("/training/<run_id>", endpoint="training_run")
    @needs(Role.VIEWER)
    def show(run_id: str) -> str:
        run = services.training.get(caller(), run_id)
        log = last_lines(run_id) if caller().role.includes(Role.TRAINER) else None
        return render_template("training_run.html", asked=_asked(run), rules=RULES, log=log, **now(run_id))

    @pages.get("/training/<run_id>/now", endpoint="training_run_now")
    @needs(Role.VIEWER)
    def part(run_id: str) -> str:
        return render_template("training_run_now.html", **now(run_id))

    @pages.get("/training/<run_id>/log", endpoint="training_run_log")
    @needs(Role.TRAINER)
    def log(run_id: str) -> Response:
        return Response(last_lines(run_id), mimetype="text/plain")

    @pages.get("/training/<run_id>/events", endpoint="training_run_events")
    @needs(Role.VIEWER)
    def watch(run_id: str) -> Response:
        # The same as /v1/training-runs/{id}/events, which no session opens.
        return Response(events(services.training, caller(), run_id), mimetype="text/event-stream")


def _asked(run: TrainingRunOut) -> list[tuple[str, str]]:
    """What a run was asked for besides the configuration: its changed values, and which cases."""
    asked = [(name, json.dumps(value, ensure_ascii=False)) for name, value in sorted(run.set.items())]
    return asked + [(f"cases: {name}", str(value)) for name, value in run.filter.items()]
