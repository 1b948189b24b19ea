"""/healthz, /readyz and /metrics: alive; able to work; what it has done."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Flask, Response, g, jsonify, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, disable_created_metrics, generate_latest

from api.access.guard import public
from api.ground.meters import OTHER, Meters, known_method
from api.observing.finding import Finding
from api.observing.readiness import Readiness
from api.observing.scraped import Looked
from api.problems import Unauthenticated
from api.services import Services
from api.watching.gauges import WatchingGauges


def install(app: Flask, services: Services, draining: Callable[[], bool]) -> None:
    """Add the routes and measure every request."""
    _measure(app, services.ground.meters)
    app.register_blueprint(_routes(services, _scraped(services), draining))


def _scraped(services: Services) -> CollectorRegistry:
    """What a scrape reads."""
    disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each, which says when it began
    ground = services.ground
    return ground.meters.scraped([WatchingGauges(ground.database), Looked(ground)])


def _measure(app: Flask, meters: Meters) -> None:
    """Labels are routes, never paths: an id in one would leak and grow."""

    def start() -> None:
        g.started = time.perf_counter()
        meters.in_flight.inc()

    def finish(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else OTHER
        passed = time.perf_counter() - g.started
        meters.requests.labels(known_method(request.method), route, response.status_code).observe(passed)
        if response.status_code >= 400:
            meters.refusals.labels(response.status_code).inc()
        return response

    def end(_error: BaseException | None) -> None:
        if "started" in g:
            meters.in_flight.dec()

    app.before_request(start)
    app.after_request(finish)
    app.teardown_request(end)


def _routes(services: Services, scraped: CollectorRegistry, draining: Callable[[], bool]) -> Blueprint:
    health = Blueprint("health", __name__)
    readiness = Readiness(services)
    token = services.ground.settings.metrics_token.get_secret_value()

    @health.get("/healthz")
    @public
    def healthz() -> Response:
        return jsonify(status="ok")

    @health.get("/readyz")
    @public
    def readyz() -> tuple[Response, int]:
        verdict = readiness.look()
        checks = {name: _told(one) for name, one in verdict.findings.items()}
        status = "draining" if draining() else "ok" if verdict.ready else "not ready"
        return jsonify(status=status, checks=checks), 200 if status == "ok" else 503

    @health.get("/metrics")
    @public
    def metrics() -> Response:
        sent = request.headers.get("Authorization", "")
        if token and not hmac.compare_digest(sent.encode(), f"Bearer {token}".encode()):
            raise Unauthenticated("send the token of CLINICAL_MM_METRICS_TOKEN as `Authorization: Bearer TOKEN`")
        return Response(generate_latest(scraped), content_type=CONTENT_TYPE_LATEST)

    return health


def _told(one: Finding) -> dict[str, Any]:
    told: dict[str, Any] = {"state": one.state, "detail": one.detail, "milliseconds": one.milliseconds}
    return {**told, "do": one.do} if one.do else told
