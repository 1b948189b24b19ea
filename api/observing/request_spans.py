"""A span for each request, where traces are wanted."""

from __future__ import annotations

from flask import Flask, Response, g, request

from api.ground import tracing
from api.ground.ground import Ground
from api.ground.meters import OTHER, known_method

QUIET = frozenset({"health.healthz", "health.readyz", "health.metrics", "pages.static"})
"""Endpoints that are asked all the time and tell nothing."""


def install(app: Flask, ground: Ground) -> None:
    """Start sending, and let each request be a span; nothing where ``otlp_endpoint`` is empty.

    To be called before other hooks are added, so that the span holds them too. Raises InvalidConfig.
    """
    tracing.start(ground.settings.otlp_endpoint)
    spans = tracing.spans()
    if spans is None:
        return
    spans.follow(ground.database.engine)

    def begin() -> None:
        if request.endpoint not in QUIET:
            g.span = spans.begin_request(request.headers.get("traceparent", ""), known_method(request.method))

    def answer(response: Response) -> Response:
        if "span" in g:
            route = request.url_rule.rule if request.url_rule else OTHER
            spans.answer_request(g.span[0], known_method(request.method), route, response.status_code)
        return response

    def end(_error: BaseException | None) -> None:
        if "span" in g:
            spans.end_request(*g.pop("span"))

    app.before_request(begin)
    app.after_request(answer)
    app.teardown_request(end)
