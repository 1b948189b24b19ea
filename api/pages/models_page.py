"""The registry as a page: what each model is worth, which one serves, promote and roll back."""

from __future__ import annotations

from flask import Blueprint, Response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from api.access.guard import caller, needs
from api.access.service import Role
from api.audit.call import shows
from api.services import Services
from clinical_mm.model_card import card_html

CASES_A_PAGE = 100
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
)
"""The report is one file with its styles inside; it may run, load and send nothing."""


def add(pages: Blueprint, services: Services) -> None:
    """Add these routes."""

    @pages.get("/models", endpoint="models")
    @needs(Role.VIEWER)
    def show() -> str:
        listed, outcomes = services.models.list(caller()), services.promotions.outcomes(caller())
        return render_template(
            "models.html", models=listed, outcomes=outcomes, shadow=services.shadows.current(caller())
        )

    @pages.get("/models/<model_id>", endpoint="model")
    @needs(Role.VIEWER)
    def card(model_id: str) -> str:
        names = {d.code: d.display for d in services.ground.catalogue.diagnoses}
        decision = services.promotions.of_model(caller(), model_id)
        return render_template(
            "model.html", model=services.models.get(caller(), model_id), names=names, decision=decision
        )

    @pages.get("/models/<model_id>/cases", endpoint="model_cases")
    @needs(Role.VIEWER)
    def used_cases(model_id: str) -> str:
        names = {d.code: d.display for d in services.ground.catalogue.diagnoses}
        used = services.lineage.cases(caller(), model_id, CASES_A_PAGE, request.args.get("cursor"))
        shows(case.case_id for case in used.items)
        model = services.models.get(caller(), model_id)
        return render_template("model_cases.html", model=model, used=used, names=names)

    @pages.get("/models/<model_id>/card", endpoint="model_card")
    @needs(Role.VIEWER)
    def printable(model_id: str) -> AnyResponse:
        names = {d.code: d.display for d in services.ground.catalogue.diagnoses}
        page = Response(card_html(services.models.model_card(caller(), model_id), names), mimetype="text/html")
        page.headers["Content-Security-Policy"] = REPORT_POLICY
        return page

    @pages.get("/models/<model_id>/report", endpoint="report")
    @needs(Role.VIEWER)
    def report(model_id: str) -> AnyResponse:
        page = Response(services.models.report_page(caller(), model_id), mimetype="text/html")
        page.headers["Content-Security-Policy"] = REPORT_POLICY
        return page

    @pages.post("/models/rollback")
    @needs(Role.ADMIN)
    def roll_back() -> AnyResponse:
        services.models.rollback(caller())
        return redirect(url_for("pages.models"), 303)
