"""What stands around every answer: proxies in front, other origins, and headers that browsers obey."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, Response, request
from flask_cors import CORS
from werkzeug.middleware.proxy_fix import ProxyFix

from api.access.people import PROJECT_HEADER
from api.problems import Forbidden
from api.settings import Settings
from clinical_mm.errors import InvalidConfig

HSTS = "max-age=31536000; includeSubDomains"
FOR_ALL = {"Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY"}
"""Where an answer does not say otherwise."""
FOR_DATA = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"
FOR_DOCS = "base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
"""Of the documentation's page, whose scripts are its library's; our own pages have theirs (pages/routes.py)."""
EXPOSED = [
    *("Content-Disposition", "ETag", "Location", "RateLimit", "RateLimit-Policy", "Retry-After"),
    *("X-Columns", "X-Intercept", "X-Key-Expires-At", "X-Request-Id", "X-Rows", "X-Slope"),
]
"""Headers of answers that another origin's script may read."""


def install(app: Flask, settings: Settings) -> None:
    """Raises InvalidConfig: an origin of CLINICAL_MM_CORS_ORIGINS is none."""
    if settings.proxies:
        count = settings.proxies
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=count, x_proto=count, x_host=count
        )
    app.after_request(_close)
    origins = origins_of(settings)
    if origins:
        headers = ["Authorization", "Content-Type", "If-Match", "If-None-Match", "Idempotency-Key", "X-Request-Id"]
        headers.append(PROJECT_HEADER)
        allowed = {"origins": origins, "allow_headers": headers, "expose_headers": EXPOSED, "max_age": 600}
        CORS(app, resources={r"/v1/*": allowed}, supports_credentials=False)


def origins_of(settings: Settings) -> list[str]:
    """The origins whose pages may call /v1."""
    origins = [one.strip() for one in settings.cors_origins.split(",") if one.strip()]
    for one in origins:
        parts = urlsplit(one)
        if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path or "*" in one:
            raise InvalidConfig(f"CLINICAL_MM_CORS_ORIGINS: {one!r} is no origin such as https://viewer.example.org")
    return origins


def is_preflight() -> bool:
    """Whether a browser only asks if it may call; it sends no key along."""
    return request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers


def refuse_other_sites() -> None:
    """Where nobody needs a key, any page in the operator's browser could call: take calls of our own origin alone.

    Raises:
        Forbidden: another site's page calls, or our address goes by a name that is not this machine's.
    """
    host = urlsplit(f"//{request.host}").hostname or ""
    if not (host == "localhost" or host.endswith(".localhost") or host.startswith("127.") or host == "::1"):
        raise Forbidden(f"without authentication this service is called by this machine's own name, not {host!r}")
    origin = request.headers.get("Origin")
    if origin not in {None, f"{request.scheme}://{request.host}"}:
        raise Forbidden("without authentication no other site's page may call")


def _close(response: Response) -> Response:
    if request.is_secure:
        response.headers.setdefault("Strict-Transport-Security", HSTS)
    for name, value in FOR_ALL.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Content-Security-Policy", FOR_DOCS if response.mimetype == "text/html" else FOR_DATA)
    return response
