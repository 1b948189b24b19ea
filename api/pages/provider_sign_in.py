"""Sign in by the OpenID Connect provider: there and back."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from flask import Blueprint, redirect, request, url_for

from api.access.guard import public
from api.access.identity import Begun, ProviderAway
from api.pages.session import Sessions, forget_under_way
from api.pages.sign_in import Shown, leave, local, new_visit, refused, said, seat, shown_form
from api.problems import ServiceError, Unauthenticated
from api.services import Services

if TYPE_CHECKING:
    from api.access.oidc import OpenIdConnect

NOT_BEGUN = "This sign-in was not begun in this browser, or too long ago: try again."


def add(pages: Blueprint, services: Services, sessions: Sessions) -> None:
    """Add these routes where a provider is set."""
    if services.oidc is not None:
        _add(pages, services, sessions, services.oidc)


def _add(pages: Blueprint, services: Services, sessions: Sessions, oidc: OpenIdConnect) -> None:
    @pages.get("/sign-in/provider", endpoint="sign_in_provider")
    @public
    def begin() -> Shown:
        try:
            begun = oidc.begin(_callback(), anew="anew" in request.args)
        except ProviderAway as error:
            return refused(error)
        response = redirect(begun.address, 303)
        carried = {**asdict(begun), "next": local(said(request.args.get("next", "")))}
        sessions.keep_under_way(response, carried, secure=request.is_secure)  # type: ignore[arg-type]
        return response

    @pages.get("/sign-in/callback", endpoint="sign_in_callback")
    @public
    def finish() -> Shown:
        carried = sessions.take_under_way(request)
        if carried is None:
            return shown_form(NOT_BEGUN), 401
        after, address = str(carried.pop("next")), request.remote_addr or ""
        try:
            services.door.limits.refuse_guessing(address)
            found = oidc.finish(request.args.to_dict(), Begun(**carried), _callback())
            person = services.people.person(found.identity)
        except Unauthenticated as error:
            services.door.limits.count_failure(address)
            return refused(error)
        except ServiceError as error:
            return refused(error)
        leave(services, sessions)
        visit = new_visit(signed_in=True)
        services.sessions.begin_as(visit.nonce, person, found, seat())
        response = redirect(local(after), 303)
        forget_under_way(response)  # type: ignore[arg-type]
        return response


def _callback() -> str:
    return url_for("pages.sign_in_callback", _external=True)
