"""Start a training run, watch it, cancel it."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from api.access.guard import caller, needs
from api.access.service import Role
from api.pages.wording import moment
from api.services import Services
from api.training.schemas import TrainingRunIn, TrainingRunOut
from clinical_mm.config import ModelConfig, known_configs
from clinical_mm.errors import InvalidConfig

GOING = frozenset({"queued", "running"})


def add(pages: Blueprint, services: Services) -> None:
    """Add these routes."""

    def runs() -> dict[str, Any]:
        shown = [row_of(run) for run in services.training.list(caller())]
        return {"runs": shown, "active": any(run["going"] for run in shown)}

    @pages.get("/training", endpoint="training")
    @needs(Role.VIEWER)
    def show() -> str:
        return render_template("training.html", configs=choices(), **runs())

    @pages.get("/training/runs", endpoint="training_runs")
    @needs(Role.VIEWER)
    def watch() -> str:
        return render_template("training_runs.html", **runs())

    @pages.post("/training", endpoint="start_training")
    @needs(Role.TRAINER)
    def start() -> AnyResponse:
        config = request.form.get("config", "")
        if config not in known_configs():
            raise InvalidConfig(f"no configuration of this name; known: {', '.join(known_configs())}")
        services.training.start(caller(), TrainingRunIn(config=config))
        return redirect(url_for("pages.training"), 303)

    @pages.post("/training/<run_id>/cancel", endpoint="cancel_training")
    @needs(Role.TRAINER)
    def cancel(run_id: str) -> AnyResponse:
        services.training.cancel(caller(), run_id)
        return redirect(url_for("pages.training_run", run_id=run_id), 303)


def choices() -> list[dict[str, str]]:
    """Name and description of each configuration that comes along, the default one first."""
    names = sorted(known_configs(), key=lambda name: (name != "default", name))
    return [{"name": name, "description": ModelConfig.load(name).description} for name in names]


def row_of(run: TrainingRunOut) -> dict[str, Any]:
    """A run as the pages tell it."""
    return {
        "id": run.id,
        "config": run.config,
        "state": run.state,
        "going": run.state in GOING,
        "fraction": run.progress.fraction if run.progress else 0.0,
        "told": _told(run),
        "error": run.error,
        "model_id": run.model,
        "created_by": run.created_by,
        "when": moment(run.started_at or run.created_at),
        "ended": moment(run.finished_at),
        "labels": run.labels,
        "start_from": run.start_from,
    }


def _told(run: TrainingRunOut) -> str:
    progress = run.progress
    if run.state == "queued" or progress is None:
        return "waiting for a worker" if run.state == "queued" else ""
    parts = [progress.stage] if run.state in GOING else []
    if progress.epoch:
        parts.append(f"epoch {progress.epoch} of {progress.epochs}")
    metrics = dict(progress.metrics)
    if "trial" in metrics:
        parts.append(f"trial {metrics.pop('trial'):.0f} of {metrics.pop('trials', 0):.0f}")
    parts += [f"{name.replace('_', ' ')} {value:.3f}" for name, value in metrics.items()]
    if run.state in GOING and progress.eta_s is not None:
        parts.append(
            f"about {max(1, round(progress.eta_s / 60))} min left" if progress.eta_s >= 60 else "under a minute left"
        )
    return ", ".join(parts)
