"""A shadow beside the serving model, as a section of the comparison's page; for those who decide, not who review."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from api.access.guard import caller, needs
from api.access.service import Role
from api.problems import NotFound
from api.services import Services
from api.shadows.schemas import DistanceOut, GainOut, ShadowOut

METRICS = {"macro_auroc": "Macro AUROC", "log_loss": "Log loss, lower is better"}


@dataclass(frozen=True)
class Line:
    """One metric of both, and where its interval is drawn: per cent of the width, 50 = no difference."""

    name: str
    gain: GainOut
    low: float
    at: float
    high: float


@dataclass(frozen=True)
class Cell:
    """Cases of a tenth of both models' probabilities, the shadow's upwards; ``depth`` 0..1 of the colour."""

    x: int
    y: int
    depth: float


def add(pages: Blueprint, services: Services) -> None:
    """Add the route."""

    @pages.post("/models/<model_id>/shadow", endpoint="shadow")
    @needs(Role.ADMIN)
    def change(model_id: str) -> AnyResponse:
        if request.form.get("off"):
            services.shadows.end(caller(), model_id)
        else:
            services.shadows.begin(caller(), model_id)
        return redirect(url_for("pages.comparison", model_id=model_id) + "#shadow", 303)


def shown(services: Services, model_id: str) -> dict[str, Any]:
    """What the section needs; its report is None for whoever may not see it, and where the model never was a shadow."""
    if not caller().role.includes(Role.TRAINER):
        return {"shadow": None}
    try:
        report = services.shadows.report(caller(), model_id)
    except NotFound:
        return {"shadow": None}
    lines, reach = _lines(report)
    return {"shadow": report, "shadow_lines": lines, "shadow_reach": reach, "cells": _cells, "same_tenth": _same_tenth}


def _lines(report: ShadowOut) -> tuple[list[Line], float]:
    gains: Mapping[str, GainOut] = {} if report.judged is None else report.judged.gains
    ends = [(name, one, one.difference) for name, one in gains.items() if one.difference.value is not None]
    numbers = [abs(n) for *_, apart in ends for n in (apart.low, apart.value, apart.high) if n is not None]
    reach = max(numbers, default=0.0) or 1.0
    lines = []
    for name, one, apart in ends:
        value = apart.value or 0.0
        places = [value if end is None else end for end in (apart.low, value, apart.high)]
        lines.append(Line(METRICS.get(name, name), one, *(50 + 50 * place / reach for place in places)))
    return lines, reach


def _cells(distance: DistanceOut) -> list[Cell]:
    most = max(map(max, distance.joint)) or 1
    return [
        Cell(x, 9 - y, round((count / most) ** 0.5, 3))
        for x, row in enumerate(distance.joint)
        for y, count in enumerate(row)
        if count
    ]


def _same_tenth(distance: DistanceOut) -> int:
    return sum(row[x] for x, row in enumerate(distance.joint))
