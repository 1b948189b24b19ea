"""The one place that gives every request its entry in the trail: no answer leaves before the entry is stored.

A service that changes something records it in its own transaction, and that is the request's entry. Whatever else was
asked - a read, or a call that was refused - is told here. A route cannot forget it, nor need it know.
"""

from __future__ import annotations

import re
from typing import Any

from flask import Flask, Response, current_app, g, request
from sqlalchemy.exc import SQLAlchemyError

from api.access.guard import needed_role
from api.access.service import Caller
from api.audit.call import Call, begin, current, end
from api.audit.names import READS, told_as
from api.audit.service import ANSWERED, UNCHANGED, Audit
from api.ground.database import DatabaseAway

UNTOLD = ("health.", "openapi.", "pages.static")
"""Endpoints that show nothing of anyone: is it alive, its documentation, its style sheets."""
_PRESENTED = re.compile(r"Bearer\s+cmm_([0-9a-hjkmnp-tv-z]{20})_", re.IGNORECASE)


def is_told(endpoint: str | None) -> bool:
    """Whether a request of this endpoint has an entry; without an endpoint there is no such route."""
    return endpoint is not None and not endpoint.startswith(UNTOLD)


def install(app: Flask, audit: Audit) -> None:
    """Tell of every request. To be called before the guard is installed, so that what it refuses is told too."""

    def enter() -> None:
        end()
        if is_told(request.endpoint) and request.method != "OPTIONS":
            begin(_call())

    def leave(response: Response) -> Response:
        call = current()
        if call is None or call.entered:
            return response
        caller: Caller | None = g.get("caller")
        call.caller = caller
        try:
            away = g.get("ground_gave_way", False)
            audit.tell(call, _result(response, caller), away=away, **_detail(response, caller))
        except (SQLAlchemyError, DatabaseAway, OSError) as error:  # what cannot be told is not answered
            return current_app.make_response(current_app.handle_user_exception(error))
        return response

    def forget(_error: BaseException | None) -> None:
        end()

    app.before_request(enter)
    app.after_request(leave)
    app.teardown_request(forget)


def _call() -> Call:
    endpoint, rule = str(request.endpoint), request.url_rule
    action, object_type, object_id = told_as(endpoint, request.view_args or {})
    return Call(
        action=action,
        object_type=object_type,
        object_id=object_id,
        source=(request.remote_addr or "")[:80],
        route=f"{request.method} {rule.rule if rule else ''}",
        request_id=g.get("request_id"),
    )


def _result(response: Response, caller: Caller | None) -> str:
    if response.status_code >= 400:
        return str(response.status_code)
    if _is_public():
        return ANSWERED
    if caller is None:
        return "401"  # a page sends whoever is not signed in to the sign-in form
    reads = request.method in {"GET", "HEAD"} or request.endpoint in READS
    return ANSWERED if reads else UNCHANGED


def _is_public() -> bool:
    try:
        return needed_role(current_app, str(request.endpoint)) is None
    except LookupError:
        return False


def _detail(response: Response, caller: Caller | None) -> dict[str, Any]:
    """What else is known: the version that was read, the number of the file, the key that was not let in."""
    tag, number = response.get_etag()[0], str((request.view_args or {}).get("n", ""))
    presented = _PRESENTED.match(request.headers.get("Authorization", "")) if caller is None else None
    found = {
        "version": tag if response.status_code < 400 else None,
        "n": int(number) if re.fullmatch(r"[0-9]{1,6}", number) else None,
        "key": f"key_{presented[1]}" if presented else None,
    }
    return {name: value for name, value in found.items() if value is not None}
