"""The pages as one blueprint: who is signed in, CSRF, security headers, errors a person can read."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, g, redirect, render_template, request, url_for
from markupsafe import Markup
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from api.access.service import Caller, Role
from api.pages import (
    audit_page,
    case_list,
    case_page,
    case_report,
    case_review,
    comparison_page,
    models_page,
    project_page,
    provider_sign_in,
    sessions_page,
    shadow_page,
    sign_in,
    training_page,
    training_run_page,
    watching_page,
)
from api.pages.case_list import LABELLED, ORDERS, TABS
from api.pages.session import CSRF_FIELD, Sessions, sessions_of, visit_of_request
from api.pages.wording import moment
from api.problems import Invalid, ServiceError, Unauthenticated, status_of
from api.services import Services
from clinical_mm.errors import ClinicalMMError

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
SECTIONS = {
    "pages.case_list": "case_list",
    "pages.case": "case_list",
    "pages.training": "training",
    "pages.training_run": "training",
    "pages.models": "models",
    "pages.model": "models",
    "pages.report": "models",
    "pages.model_cases": "models",
    "pages.comparison": "models",
    "pages.model_card": "models",
    "pages.watching": "watching",
    "pages.audit": "audit",
    "pages.project": "project",
}
"""Which entry of the navigation a page belongs to."""
OBJECT = re.compile(r"^(\d{1,6}|([0-9.~-]+~)?[a-z]+_[0-9a-z]{20})$")
"""What of an address is nobody's name: an id, a number, a place in the list."""
CHOICES = frozenset({*LABELLED, *TABS, *ORDERS})
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'{}; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def blueprint(services: Services) -> Blueprint:
    """The pages over the services."""
    pages = Blueprint("pages", __name__, template_folder="templates", static_folder="static", static_url_path="/static")
    sessions = sessions_of(services.ground.settings.workspace.resolve())
    pages.add_app_template_filter(moment, "moment")
    pages.context_processor(lambda: _shared_by_all_pages(services, sessions))
    pages.before_request(lambda: _check_csrf(sessions))
    # The form that signs out leads on to the provider, which browsers ask the policy for.
    policy = POLICY.format("" if services.oidc is None else f" {services.oidc.origin}")
    pages.after_request(lambda response: _finish(sessions, services.sessions.lives.absolute, policy, response))
    pages.register_error_handler(Unauthenticated, lambda _: _to_sign_in(sessions))
    pages.register_error_handler(ServiceError, _service_problem)
    pages.register_error_handler(ClinicalMMError, _core_problem)
    pages.register_error_handler(ValidationError, _invalid)
    pages.register_error_handler(HTTPException, _http_problem)
    sign_in.add(pages, services, sessions)
    provider_sign_in.add(pages, services, sessions)
    sessions_page.add(pages, services, sessions)
    of_cases, of_models = (case_list, case_page, case_report, case_review), (models_page, comparison_page, shadow_page)
    for room in (*of_cases, training_page, training_run_page, *of_models, watching_page, audit_page, project_page):
        room.add(pages, services)
    return pages


def _check_csrf(sessions: Sessions) -> None:
    g.sessions = sessions
    if request.method not in SAFE_METHODS:
        sessions.check_csrf(request, visit_of_request(sessions))


def _finish(sessions: Sessions, life: timedelta, policy: str, response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", policy)
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.endpoint == "pages.static":
        return response
    if "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "no-store"
    if response.mimetype == "text/html" or "visit_changed" in g:
        sessions.remember(response, visit_of_request(sessions), life=life, secure=request.is_secure)
    return response


def _shared_by_all_pages(services: Services, sessions: Sessions) -> dict[str, Any]:
    visit = visit_of_request(sessions)
    token = sessions.csrf_token(visit)
    caller: Caller | None = g.get("caller")
    return {
        "caller": caller,
        "signed_in": visit.signed_in,
        "open_projects": lambda: services.sessions.projects(visit.nonce) if visit.signed_in else [],
        "by_provider": services.oidc is not None,
        "by_key": services.sessions.lives.by_key,
        "csrf_token": token,
        "csrf_field": lambda: Markup('<input type="hidden" name="{}" value="{}">').format(CSRF_FIELD, token),
        "may": {str(role): caller is not None and caller.role.includes(role) for role in Role},
        "here": SECTIONS.get(request.endpoint or ""),
    }


def _to_sign_in(sessions: Sessions) -> AnyResponse | tuple[str, int]:
    g.pop("caller", None)
    wanted = _wanted(sessions)
    address = url_for("pages.sign_in") + (f"?next={quote(wanted)}" if wanted not in {"", "/"} else "")
    if "HX-Request" in request.headers:
        return Response(status=401, headers={"HX-Redirect": address})
    return redirect(address, 303)


def _wanted(sessions: Sessions) -> str:
    """The address to come back to after signing in; sealed where it holds a caller's own words."""
    if request.method not in SAFE_METHODS:
        return ""
    address = request.full_path.rstrip("?")
    parts = [str(part) for part in (*(request.view_args or {}).values(), *request.args.values())]
    plain = all(part in CHOICES or OBJECT.match(part) for part in parts)
    return address if plain else sessions.sealed(address)


def _page(status: int, title: str, detail: str, errors: Any = ()) -> tuple[str, int]:
    return render_template("problem.html", title=title, detail=detail, errors=errors), status


def _service_problem(error: ServiceError) -> tuple[str, int, dict[str, str]]:
    headers = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
    return *_page(error.status, error.status.phrase, error.detail, error.errors), headers


def _core_problem(error: ClinicalMMError) -> tuple[str, int]:
    return _page(status_of(error), "That did not work", str(error))


def _invalid(error: ValidationError) -> tuple[str, int, dict[str, str]]:
    told = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False))
    return _service_problem(Invalid(told))


def _http_problem(error: HTTPException) -> tuple[str, int]:
    return _page(error.code or 500, error.name, error.description or "")
