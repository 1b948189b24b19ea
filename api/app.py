"""create_app: wires the rooms, nothing else."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable
from functools import cache

from flask import Response, g, redirect, request
from flask_openapi import Info, OpenAPI
from flask_openapi_swagger.plugins import RegisterPlugin as Swagger
from pydantic import ValidationError
from werkzeug.wrappers import Response as BaseResponse

import api.access.project_routes
import api.access.routes
import api.audit.routes
import api.bulk.routes
import api.cases.catalogue_routes
import api.cases.routes
import api.erasures.routes
import api.explanations.routes
import api.models.routes
import api.pages.routes
import api.predictions.routes
import api.promotion.routes
import api.reviews.golden_routes
import api.reviews.routes
import api.shadows.routes
import api.training.routes
import api.watching.routes
from api import health, openapi, problems
from api.access import browser, guard
from api.access.guard import public
from api.access.service import Caller
from api.audit import gate
from api.ground import bodies, outage
from api.ground.ids import new_id
from api.ground.logs import FIELDS, REQUEST
from api.ground.meters import known_method
from api.ground.strict import SPOOL, StrictRequest, refuse_unstorable
from api.observing import request_spans
from api.pages.session import signed_in
from api.problems import ProblemDocument
from api.services import Services, build
from api.settings import Settings, settings_from_environment
from clinical_mm.catalogue import Catalogue

INFO = Info(
    title="clinical_mm",
    version="1",
    description="Multimodal diagnosis support. It supports a diagnosis, it never makes one. Not a medical device.",
)
BEARER = {
    "type": "http",
    "scheme": "bearer",
    "description": "an API key: `clinical-mm keys create`; or an access token of the OpenID Connect provider",
}
REQUEST_ID = re.compile(r"^(?:(?:trace|span|req|request)[_-]?[0-9a-f-]{1,40}|[0-9a-fA-F-]{16,60})$")
"""A caller's own id is taken where it can be nobody's name: it goes into the log."""
QUIET = frozenset({"health.healthz", "health.readyz", "health.metrics", "pages.static"})
"""What is asked all the time is logged for whoever wants everything."""
log = logging.getLogger(REQUEST)


class Service(OpenAPI):
    """The framework's application, which tells of a path exactly the methods that its own routes have."""

    def make_default_options_response(self) -> Response:
        """OPTIONS: where a fixed word stands in the place of an id, the routes of that id do not count."""
        asked = request.url_rule.rule if request.url_rule else None
        answer = super().make_default_options_response()
        answer.allow.clear()
        answer.allow.update(m for rule in self.url_map.iter_rules() if rule.rule == asked for m in rule.methods or ())
        return answer


def create_app(
    settings: Settings | None = None, services: Services | None = None, draining: Callable[[], bool] = lambda: False
) -> OpenAPI:
    """The WSGI application over a migrated database; ``draining``: whether the server is about to stop."""
    services = services or build(settings or settings_from_environment())
    app = Service(
        __name__,
        info=INFO,
        security_schemes={"bearer": BEARER},
        doc_ui=False,
        static_folder=None,
        validation_error_model=ProblemDocument,
        validation_error_callback=_refuse,
    )
    app.openapi_version = "3.1.1"
    app.request_class = StrictRequest
    app.extensions[SPOOL] = services.ground.spool
    bodies.limit(app, services.ground.settings)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    guard.begin_outside(app)
    request_spans.install(app, services.ground)
    app.before_request(_name_request)
    app.after_request(_finish)
    browser.install(app, services.ground.settings)
    problems.register(app)
    outage.register(app)
    health.install(app, services, draining)
    gate.install(app, services.audit)
    app.before_request(refuse_unstorable)
    off = services.ground.settings.auth == "off"
    guard.install(
        app,
        services.door,
        anonymous=services.access.operator() if off else None,
        session=lambda: signed_in(services),
        cross_origin=bool(browser.origins_of(services.ground.settings)),
    )
    for blueprint in (
        api.cases.routes.blueprint(services.cases, services.files),
        api.cases.catalogue_routes.blueprint(services.ground.catalogue),
        api.predictions.routes.blueprint(services.predictions),
        api.bulk.routes.blueprint(services.bulk, services.ground.settings),
        api.explanations.routes.blueprint(services.explanations),
        api.reviews.routes.blueprint(services.reviews),
        api.reviews.golden_routes.blueprint(services.golden),
        api.training.routes.blueprint(services.training),
        api.models.routes.blueprint(services.models, services.lineage),
        api.promotion.routes.blueprint(services.promotions),
        api.shadows.routes.blueprint(services.shadows),
        api.watching.routes.blueprint(services.watching),
        api.access.routes.blueprint(services.access),
        api.access.project_routes.blueprint(services.projects),
        api.audit.routes.blueprint(services.audit),
        api.erasures.routes.blueprint(services.erasures),
    ):
        app.register_api(blueprint)
    app.register_blueprint(api.pages.routes.blueprint(services))
    _document(app, services.ground.catalogue)
    return app


def _document(app: OpenAPI, catalogue: Catalogue) -> None:
    """/openapi.json and /docs."""

    @cache
    def described() -> str:
        return json.dumps(openapi.document(app, catalogue))

    @app.route("/openapi.json", endpoint="openapi.document")
    @public
    def document() -> Response:
        return Response(described(), content_type="application/json")

    @app.route("/docs", endpoint="openapi.docs")
    @public
    def docs() -> BaseResponse:
        return redirect("/docs/swagger")

    app.register_blueprint(Swagger.register(doc_url="../openapi.json"), url_prefix="/docs", name="openapi.ui")


def _refuse(error: ValidationError) -> Response:
    return problems.problem(422, "the request does not fit its schema", problems.pointed(error))


def _name_request() -> None:
    sent = request.headers.get("X-Request-Id", "")
    g.request_id = sent if REQUEST_ID.match(sent) else new_id("request")
    g.began = time.perf_counter()


def _finish(response: Response) -> Response:
    if "request_id" in g:
        response.headers["X-Request-Id"] = g.request_id
        _log(response)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def _log(response: Response) -> None:
    """The request's own line: its route and never its path, whose ids and search words may be a patient's."""
    caller: Caller | None = g.get("caller")
    fields = {
        "request_id": g.request_id,
        "method": known_method(request.method),
        "route": request.url_rule.rule if request.url_rule else None,
        "status": response.status_code,
        "ms": round(1000 * (time.perf_counter() - g.began), 1),
        "key": None if caller is None else caller.key_id,
    }
    log.log(logging.DEBUG if request.endpoint in QUIET else logging.INFO, "request", extra={FIELDS: fields})
