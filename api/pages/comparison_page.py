"""A model beside the one that served: what the policy said, why, and every number, drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from api.access.guard import caller, needs
from api.access.service import Role
from api.pages.shadow_page import shown
from api.promotion.schemas import DecisionOut
from api.services import Services

GUARDS = {
    "diagnoses": "Diagnoses",
    "groups": "Group",
    "sensitivity": "Sensitivity",
    "calibration": "Calibration",
    "explanations": "Explanations",
    "golden": "Beside what decides",
}
LOWER_IS_BETTER = frozenset({"calibration"})
SIDES = ("champion", "challenger")
CALIBRATION_ERROR = "expected calibration error"
METRICS = {"macro_auroc": "Macro AUROC", "macro_auprc": "Macro AUPRC"}


@dataclass(frozen=True)
class Line:
    """One comparison, and where its interval is drawn: per cent of the width, 50 = no difference."""

    name: str
    cases: int
    gain: Mapping[str, Any]
    said: str
    low: float
    at: float
    high: float


@dataclass(frozen=True)
class Reliable:
    """One model's claims by tenths beside what came true, and its calibration error.

    Each bin has ``claimed``, ``observed`` with its interval, ``count``, and the ``share`` of the fullest bin's count.
    """

    side: str
    error: Mapping[str, Any] | None
    bins: Sequence[Mapping[str, Any]]

    @property
    def said(self) -> str:
        """The diagram in words."""
        told = [f"{b['claimed']:.2f} claimed, {b['observed']['value']:.2f} came true" for b in self.bins]
        return f"Reliability of the {self.side}: {'; '.join(told)}"


def add(pages: Blueprint, services: Services) -> None:
    """Add these routes."""

    @pages.get("/models/<model_id>/comparison", endpoint="comparison")
    @needs(Role.VIEWER)
    def show(model_id: str) -> str:
        decision = services.promotions.of_model(caller(), model_id)
        model = services.models.get(caller(), model_id)
        names = {d.code: d.display for d in services.ground.catalogue.diagnoses}
        drawn = {} if decision is None else _drawn(decision, names)
        served = services.models.promotions(caller(), model_id)
        drawn |= shown(services, model_id)
        return render_template("comparison.html", model=model, decision=decision, served=served, names=names, **drawn)

    @pages.post("/models/<model_id>/comparison", endpoint="compare")
    @needs(Role.TRAINER)
    def compare(model_id: str) -> AnyResponse:
        services.promotions.compare(caller(), model_id)
        return redirect(url_for("pages.comparison", model_id=model_id), 303)

    @pages.post("/models/<model_id>/promote", endpoint="promote")
    @needs(Role.ADMIN)
    def promote(model_id: str) -> AnyResponse:
        services.promotions.promote(caller(), model_id, request.form.get("reason") or None)
        return redirect(url_for("pages.models"), 303)


def _drawn(decision: DecisionOut, names: Mapping[str, str]) -> dict[str, Any]:
    checks, main = decision.result.get("checks", []), decision.result.get("gain")
    measured = [check for check in checks if check["gain"] is not None]
    gains = [check["gain"] for check in measured] + ([main] if main else [])
    reach = max((abs(d) for gain in gains for d in gain["difference"].values() if d is not None), default=0) or 1
    metric = METRICS.get(decision.result.get("policy", {}).get("metric", ""), "")
    judged = decision.result.get("cases", 0)
    measured_on = decision.result.get("measured_on", judged)
    if measured_on != judged:
        metric += ", golden cases"
    lines = [_line(_name(check, names), check["cases"], check["gain"], check["said"], reach) for check in measured]
    first = _line(metric, measured_on, main, "", reach) if main else None
    others = [(GUARDS[check["guard"]], check["said"]) for check in checks if check["gain"] is None]
    return {"main": first, "lines": lines, "others": others, "reach": reach, "reliable": _reliable(decision.result)}


def _reliable(result: Mapping[str, Any]) -> list[Reliable]:
    """Both models' reliability; empty for a comparison from before it was kept."""
    kept = result.get("reliability") or {}
    off = next((check["gain"] for check in result.get("checks", []) if check["about"] == CALIBRATION_ERROR), None)
    found = []
    for side in SIDES:
        bins = kept.get(side, [])
        most = max((b["count"] for b in bins), default=1)
        found.append(Reliable(side, off and off[side], [{**b, "share": b["count"] / most} for b in bins]))
    return [one for one in found if one.bins]


def _name(check: Mapping[str, Any], names: Mapping[str, str]) -> str:
    about = names.get(check["about"], check["about"])
    lower = ", lower is better" if check["guard"] in LOWER_IS_BETTER else ""
    return f"{GUARDS[check['guard']]}: {about}{lower}"


def _line(name: str, cases: int, gain: Mapping[str, Any], said: str, reach: float) -> Line:
    apart = gain["difference"]
    value = 0.0 if apart["value"] is None else apart["value"]
    ends = [value if apart[end] is None else apart[end] for end in ("low", "value", "high")]
    return Line(name, cases, gain, said, *(50 + 50 * end / reach for end in ends))
