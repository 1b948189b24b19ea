"""Sign in with a key or a one-time link, and out again; go to another project. By the provider: provider_sign_in.py."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

from flask import Blueprint, Response, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from api.access.guard import needs, public
from api.access.identity import ProviderAway
from api.access.seat import Seat
from api.access.service import Caller, Role
from api.pages.session import Sessions, Visit, session_of_pages, signed_in, visit_of_request
from api.problems import Forbidden, ServiceError, Unauthenticated
from api.services import Services

SPENT = "This link was used already, or is too old. Start `clinical-mm demo` again for a new one, or paste a key."
Shown = AnyResponse | str | tuple[str, int]


def add(pages: Blueprint, services: Services, sessions: Sessions) -> None:
    """Add these routes."""

    @pages.get("/sign-in", endpoint="sign_in")
    @public
    def form() -> Shown:
        return shown_form()

    @pages.post("/sign-in")
    @public
    def check_key() -> Shown:
        if token := request.form.get("token"):
            try:
                services.sessions.refuse_keys()
            except Forbidden as error:
                return refused(error)
            key_id = sessions.spend(token)
            if key_id is None:
                return shown_form(SPENT), 401
            return _enter(services, sessions, lambda: services.access.caller_of(key_id))
        presented, address = request.form.get("key", "").strip(), request.remote_addr or ""
        return _enter(services, sessions, lambda: services.access.authenticate(presented, address))

    @pages.post("/sign-out")
    @public
    def sign_out() -> AnyResponse:
        with suppress(Unauthenticated):  # its session has ended: the trail then names nobody
            g.caller = signed_in(services)
        token = leave(services, sessions)
        new_visit(signed_in=False)
        response: Response = Response(status=303, headers={"Location": _after_sign_out(services, token)})
        response.headers["Clear-Site-Data"] = '"cache"'
        return response

    @pages.post("/enter")
    @needs(Role.VIEWER)
    def enter() -> AnyResponse:
        services.sessions.enter(visit_of_request(sessions).nonce, request.form.get("project", ""))
        return redirect(url_for("pages.case_list"), 303)


def _enter(services: Services, sessions: Sessions, identify: Callable[[], Caller]) -> Shown:
    try:
        services.sessions.refuse_keys()
        found = identify()
    except ServiceError as error:
        return refused(error)
    g.caller = found
    leave(services, sessions)
    services.sessions.begin_by_key(new_visit(signed_in=True).nonce, found, seat())
    return redirect(local(said(request.values.get("next", ""))), 303)


def _after_sign_out(services: Services, token: str | None) -> str:
    """The sign-in page; for whoever the provider vouched for its own sign-out, which leads back to that page."""
    here = url_for("pages.sign_in")
    if services.oidc is None or token is None:
        return here
    try:
        return services.oidc.sign_out_address(token, url_for("pages.sign_in", _external=True)) or here
    except ProviderAway:  # the browser is out here all the same
        return here


def refused(error: ServiceError) -> AnyResponse:
    """The form once more, and why."""
    response = Response(shown_form(error.detail), error.status, content_type="text/html; charset=utf-8")
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def shown_form(problem: str = "") -> str:
    """The form; ``problem`` is what was wrong."""
    return render_template("sign_in.html", next=request.values.get("next", ""), problem=problem)


def seat() -> Seat:
    """From where this request comes."""
    return Seat.of(request.remote_addr or "", request.headers.get("User-Agent", ""))


def leave(services: Services, sessions: Sessions) -> str | None:
    """End the session that the browser had, if any."""
    visit = visit_of_request(sessions)
    return services.sessions.end(visit.nonce) if visit.signed_in else None


def new_visit(*, signed_in: bool) -> Visit:
    """A new name: neither a form nor a session from before holds on."""
    visit = g.visit = Visit(secrets.token_urlsafe(32), signed_in)
    g.visit_changed = True
    return visit


def said(address: str) -> str:
    """The address to go to; a sealed one holds words that no address is to show (session.py)."""
    return address if not address or address.startswith("/") else session_of_pages().unsealed(address) or ""


def local(address: str) -> str:
    """The address where it is a path of this site, else the list of cases."""
    parts = urlsplit(address)
    local = address.startswith("/") and not address.startswith("//") and "\\" not in address and address.isprintable()
    return address if local and not parts.scheme and not parts.netloc else url_for("pages.case_list")
