"""/healthz, /readyz and /metrics: alive; able to work; what it has done."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from flask import Blueprint, Flask, Response, g, jsonify, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from api.access.guard import public
from api.ground.scope import everywhere
from api.services import Services
from api.watching.gauges import WatchingGauges


def install(app: Flask, services: Services, draining: Callable[[], bool]) -> None:
    """Add the routes and measure every request; labels are routes, never paths: an id in one would leak and grow."""
    registry = CollectorRegistry()
    latency = Histogram(
        "clinical_mm_request_seconds", "Time to answer", ["method", "route", "status"], registry=registry
    )
    refusals = Counter("clinical_mm_refusals", "Answers of 4xx and 5xx", ["status"], registry=registry)

    def start() -> None:
        g.started = time.perf_counter()

    def finish(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else "none"
        latency.labels(request.method, route, response.status_code).observe(time.perf_counter() - g.started)
        if response.status_code >= 400:
            refusals.labels(response.status_code).inc()
        return response

    app.before_request(start)
    app.after_request(finish)
    app.register_blueprint(_routes(services, _scraped(services, registry), draining))


def _scraped(services: Services, registry: CollectorRegistry) -> CollectorRegistry:
    """What a scrape reads: what was counted, in this process or in all of them, and what a worker saw."""
    several = "PROMETHEUS_MULTIPROC_DIR" in os.environ
    scraped = CollectorRegistry() if several else registry
    if several:
        MultiProcessCollector(scraped)
    scraped.register(WatchingGauges(services.ground.database))
    return scraped


def _routes(services: Services, scraped: CollectorRegistry, draining: Callable[[], bool]) -> Blueprint:
    health = Blueprint("health", __name__)

    @health.get("/healthz")
    @public
    def healthz() -> Response:
        return jsonify(status="ok")

    @health.get("/readyz")
    @public
    def readyz() -> tuple[Response, int]:
        checks = {"database": _database(services), "blobs": _blobs(services), "model": _model(services)}
        status = "ok" if all(state == "ok" for state in checks.values()) else "not ready"
        if draining():
            status = "draining"
        return jsonify(status=status, checks=checks), 200 if status == "ok" else 503

    @health.get("/metrics")
    @public
    def metrics() -> Response:
        return Response(generate_latest(scraped), content_type=CONTENT_TYPE_LATEST)

    return health


def _database(services: Services) -> str:
    try:
        with everywhere("no row is read"), services.ground.database.reading() as session:
            session.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        return f"unreachable: {type(error).__name__}"
    return "ok"


def _model(services: Services) -> str:
    return "loading" if services.models.is_warming else "ok"


def _blobs(services: Services) -> str:
    return "ok" if services.ground.blobs.answers() else "unreachable"
