"""Where one is signed in: the browsers of one's own key or account, and an end to each."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, url_for
from werkzeug.wrappers import Response as AnyResponse

from api.access.guard import caller, needs
from api.access.service import Role
from api.pages.session import Sessions, visit_of_request
from api.services import Services


def add(pages: Blueprint, services: Services, sessions: Sessions) -> None:
    """Add these routes."""

    @pages.get("/sessions", endpoint="sessions")
    @needs(Role.VIEWER)
    def show() -> str:
        found = services.own_sessions.list(caller(), visit_of_request(sessions).nonce)
        here = next((one for one in found if one.is_this), None)
        return render_template("sessions.html", found=found, this=here)

    @pages.post("/sessions/<number>/end", endpoint="end_session")
    @needs(Role.VIEWER)
    def end(number: str) -> AnyResponse:
        services.own_sessions.end(caller(), visit_of_request(sessions).nonce, number)
        return redirect(url_for("pages.sessions"), 303)

    @pages.post("/sessions/end-others", endpoint="end_other_sessions")
    @needs(Role.VIEWER)
    def end_others() -> AnyResponse:
        services.own_sessions.end_others(caller(), visit_of_request(sessions).nonce)
        return redirect(url_for("pages.sessions"), 303)
