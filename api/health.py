"""/healthz, /readyz and /metrics: alive; able to work; what it has done."""

from __future__ import annotations

import time

from flask import Blueprint, Flask, Response, g, jsonify, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from api.access.guard import public
from api.services import Services
from api.watching.gauges import WatchingGauges
from clinical_mm.errors import ClinicalMMError

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def install(app: Flask, services: Services) -> None:
    """Add the routes and measure every request; labels are routes, never paths: an id in one would leak and grow."""
    registry = CollectorRegistry()
    registry.register(WatchingGauges(services.ground.database))
    latency = Histogram(
        "clinical_mm_request_seconds", "Time to answer", ["method", "route", "status"], registry=registry
    )
    refusals = Counter("clinical_mm_refusals", "Answers of 4xx and 5xx", ["status"], registry=registry)

    def start() -> None:
        g.started = time.perf_counter()

    def finish(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else "none"
        latency.labels(_method(), route, response.status_code).observe(time.perf_counter() - g.started)
        if response.status_code >= 400:
            refusals.labels(response.status_code).inc()
        return response

    app.before_request(start)
    app.after_request(finish)
    app.register_blueprint(_routes(services, registry))


def _method() -> str:
    """A word of a caller's own would be a label of its own."""
    return request.method if request.method in METHODS else "other"


def _routes(services: Services, registry: CollectorRegistry) -> Blueprint:
    health = Blueprint("health", __name__)

    @health.get("/healthz")
    @public
    def healthz() -> Response:
        return jsonify(status="ok")

    @health.get("/readyz")
    @public
    def readyz() -> tuple[Response, int]:
        checks = {"database": _database(services), "blobs": _blobs(services), "model": _model(services)}
        ready = all(state == "ok" for state in checks.values())
        return jsonify(status="ok" if ready else "not ready", checks=checks), 200 if ready else 503

    @health.get("/metrics")
    @public
    def metrics() -> Response:
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)

    return health


def _database(services: Services) -> str:
    try:
        with services.ground.database.reading() as session:
            session.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        return f"unreachable: {type(error).__name__}"
    return "ok"


def _model(services: Services) -> str:
    return "loading" if services.models.is_warming else "ok"


def _blobs(services: Services) -> str:
    try:
        services.ground.blobs.exists("0" * 64)
    except (OSError, ClinicalMMError) as error:
        return f"unreachable: {type(error).__name__}"
    return "ok"
