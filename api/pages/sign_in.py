"""Sign in with a key or a one-time link, and out again."""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit

from flask import Blueprint, Response, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from api.access.guard import public
from api.pages.session import Sessions, Visit
from api.problems import Unauthenticated
from api.services import Services


def add(pages: Blueprint, services: Services, sessions: Sessions) -> None:
    """Add these routes."""

    def enter(key_id: str, wanted: str) -> AnyResponse:
        g.visit = Visit(secrets.token_urlsafe(18), key_id)  # a new nonce: nothing from before sign-in holds on
        g.visit_changed = True
        return redirect(_local(wanted), 303)

    @pages.get("/sign-in", endpoint="sign_in")
    @public
    def form() -> AnyResponse | str | tuple[str, int]:
        wanted = request.args.get("next", "")
        token = request.args.get("token")
        if token is None:
            return render_template("sign_in.html", next=wanted, problem="")
        key_id = sessions.spend(token)
        if key_id is None:
            gone = "This link was used already, or is too old. Start `clinical-mm demo` again for a new one, or paste a key."
            return render_template("sign_in.html", next=wanted, problem=gone), 401
        try:
            services.access.caller_of(key_id)
        except Unauthenticated as error:
            return render_template("sign_in.html", next=wanted, problem=error.detail), 401
        return enter(key_id, wanted)

    @pages.post("/sign-in")
    @public
    def check_key() -> AnyResponse | tuple[str, int]:
        wanted = request.form.get("next", "")
        try:
            found = services.access.authenticate(request.form.get("key", "").strip())
        except Unauthenticated as error:
            return render_template("sign_in.html", next=wanted, problem=error.detail), 401
        return enter(found.key_id, wanted)

    @pages.post("/sign-out")
    @public
    def sign_out() -> AnyResponse:
        g.visit = Visit(secrets.token_urlsafe(18))
        g.visit_changed = True
        response: Response = Response(status=303, headers={"Location": url_for("pages.sign_in")})
        response.headers["Clear-Site-Data"] = '"cache"'
        return response


def _local(address: str) -> str:
    """The address where it is a path of this site, else the list of cases."""
    parts = urlsplit(address)
    local = address.startswith("/") and not address.startswith("//") and "\\" not in address
    return address if local and not parts.scheme and not parts.netloc else url_for("pages.case_list")
