"""The one guard below all routes: no route runs without a declared role, and none for a caller who lacks it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from flask import Flask, Response, current_app, g, request

from api.access.browser import is_preflight, refuse_other_sites
from api.access.door import Door
from api.access.people import PROJECT_HEADER
from api.access.service import Caller, Role
from api.ground import scope
from api.problems import Forbidden, Unauthenticated

View = TypeVar("View", bound=Callable[..., Any])
Identify = Callable[[], Caller | None]

_NEEDED = "needed_role"
_OPEN_ENDPOINTS = frozenset({"pages.static"})
_DOCUMENTATION = "openapi."


def needs(role: Role) -> Callable[[View], View]:
    """Declare the role that a route needs. It must stand below the route's decorator."""

    def mark(view: View) -> View:
        setattr(view, _NEEDED, role)
        return view

    return mark


def public(view: View) -> View:
    """Declare that a route needs no key: health, documentation, the sign-in form."""
    setattr(view, _NEEDED, None)
    return view


def needed_role(app: Flask, endpoint: str) -> Role | None:
    """The role that a route needs, None for a public one; raises LookupError where it declares nothing."""
    if endpoint in _OPEN_ENDPOINTS or endpoint.startswith(_DOCUMENTATION):
        return None
    view: Any = app.view_functions[endpoint]
    while view is not None:
        if hasattr(view, _NEEDED):
            role: Role | None = getattr(view, _NEEDED)
            return role
        view = getattr(view, "__wrapped__", None)
    raise LookupError("the route declares no role")


def begin_outside(app: Flask) -> None:
    """Let each request begin outside any project; before everything else that an app does at a request."""
    app.before_request(_begin_nowhere)
    app.teardown_request(_leave)


def caller() -> Caller:
    """Whoever sent this request."""
    found: Caller = g.caller
    return found


def install(app: Flask, door: Door, *, anonymous: Caller | None, session: Identify, cross_origin: bool) -> None:
    """Guard every request of the app.

    ``anonymous`` is who calls where authentication is off; ``session`` tells who is signed in to the pages;
    ``cross_origin``: other origins' pages may call /v1, so their browsers may ask whether they may.
    """

    def guard() -> None:
        if request.endpoint is None or _asks_for_methods() or (cross_origin and is_preflight()):
            return  # no such route: the 404 or 405 says so, and tells nothing else
        try:
            role = needed_role(current_app, request.endpoint)
        except LookupError as error:
            raise Forbidden("this route declares no role, so nobody may call it") from error
        if role is None:
            return
        g.caller = _identify(door, anonymous, session)
        g.standing = door.pass_through(g.caller)
        g.caller.require(role)
        scope.enter(g.caller.project_id)

    app.before_request(guard)
    app.after_request(_tell)
    app.after_request(_stay_inside)


def _asks_for_methods() -> bool:
    """An OPTIONS request that Flask answers by itself: it says what /openapi.json says, and runs no code of a route."""
    rule = request.url_rule
    return request.method == "OPTIONS" and bool(getattr(rule, "provide_automatic_options", False))  # Flask sets it


def _begin_nowhere() -> None:
    g.scope_before = scope.enter(scope.Nowhere())  # no row of any project can be read until the guard lets in


def _stay_inside(response: Response) -> Response:
    """What is sent after the view has returned is still made for this caller alone."""
    if response.is_streamed and not response.direct_passthrough and "caller" in g:
        response.response = _Inside(response.response, g.caller.project_id)
    return response


def _leave(_error: BaseException | None) -> None:
    if "scope_before" in g:
        scope.leave(g.scope_before)


class _Inside(Iterator[Any]):
    """An iterator, each step of which is taken inside a project."""

    def __init__(self, parts: Iterable[Any], project_id: str) -> None:
        self._parts, self._given, self._project_id = iter(parts), parts, project_id

    def __next__(self) -> Any:
        with scope.within(self._project_id):
            return next(self._parts)

    def close(self) -> None:
        """Let what was given clean up."""
        if hasattr(self._given, "close"):
            self._given.close()


def _identify(door: Door, anonymous: Caller | None, session: Identify) -> Caller:
    header = request.headers.get("Authorization", "")
    scheme, _, secret = header.partition(" ")
    if header and scheme.lower() != "bearer":
        raise Unauthenticated("send `Authorization: Bearer KEY`")
    page = not request.path.startswith("/v1/")
    if secret:
        project = request.headers.get(PROJECT_HEADER)
        return door.open(secret.strip(), request.remote_addr or "", project, page=page)
    signed_in = session() if page else None
    if signed_in is None and anonymous is not None:
        refuse_other_sites()
    found = signed_in or anonymous
    if found is None:
        raise Unauthenticated("send `Authorization: Bearer KEY`; `clinical-mm keys create` makes one")
    return found


def _tell(response: Response) -> Response:
    """How often the caller may still come, and that its key ends soon."""
    if g.get("standing") is not None:
        for name, value in g.standing.headers().items():
            response.headers.setdefault(name, value)
    known: Caller | None = g.get("caller")
    if known is not None and known.ends_at is not None:
        response.headers["X-Key-Expires-At"] = known.ends_at.isoformat().replace("+00:00", "Z")
    return response
