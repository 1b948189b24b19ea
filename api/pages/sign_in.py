"""Sign in with a key or a one-time link, and out again."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from urllib.parse import urlsplit

from flask import Blueprint, Response, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from api.access.guard import public
from api.access.service import Caller
from api.pages.session import Sessions, Visit, session_of_pages
from api.problems import Unauthenticated
from api.services import Services

SPENT = "This link was used already, or is too old. Start `clinical-mm demo` again for a new one, or paste a key."


def add(pages: Blueprint, services: Services, sessions: Sessions) -> None:
    """Add these routes."""

    @pages.get("/sign-in", endpoint="sign_in")
    @public
    def form() -> AnyResponse | str | tuple[str, int]:
        token = request.args.get("token")
        if token is None:
            return render_template("sign_in.html", next=request.args.get("next", ""), problem="")
        key_id = sessions.spend(token)
        if key_id is None:
            return _refused(SPENT)
        return _enter(lambda: services.access.caller_of(key_id))

    @pages.post("/sign-in")
    @public
    def check_key() -> AnyResponse | tuple[str, int]:
        return _enter(lambda: services.access.authenticate(request.form.get("key", "").strip()))

    @pages.post("/sign-out")
    @public
    def sign_out() -> AnyResponse:
        _change_visit(None)
        response: Response = Response(status=303, headers={"Location": url_for("pages.sign_in")})
        response.headers["Clear-Site-Data"] = '"cache"'
        return response


def _enter(identify: Callable[[], Caller]) -> AnyResponse | tuple[str, int]:
    try:
        found = identify()
    except Unauthenticated as error:
        return _refused(error.detail)
    _change_visit(found.key_id)
    return redirect(_local(_said(request.values.get("next", ""))), 303)


def _refused(problem: str) -> tuple[str, int]:
    return render_template("sign_in.html", next=request.values.get("next", ""), problem=problem), 401


def _change_visit(key_id: str | None) -> None:
    g.visit = Visit(secrets.token_urlsafe(18), key_id)  # a new nonce: no form from before holds on
    g.visit_changed = True


def _said(address: str) -> str:
    """The address to go to; a sealed one holds words that no address is to show (session.py)."""
    return address if not address or address.startswith("/") else session_of_pages().unsealed(address) or ""


def _local(address: str) -> str:
    """The address where it is a path of this site, else the list of cases."""
    parts = urlsplit(address)
    local = address.startswith("/") and not address.startswith("//") and "\\" not in address
    return address if local and not parts.scheme and not parts.netloc else url_for("pages.case_list")
