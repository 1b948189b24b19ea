"""How answers leave: pydantic models as JSON, times as RFC 3339 UTC."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flask import Response
from pydantic import BaseModel
from werkzeug.wrappers import Response as BaseResponse

Answer = BaseResponse
SECURITY: list[dict[str, list[str]]] = [{"bearer": []}]
PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
BYTES = {"type": "string", "format": "binary"}


def refusals(*statuses: int) -> dict[Any, Any]:
    """What a route says of the refusals that are its own; those that any route may give are added (api/openapi.py)."""
    return {status: {"content": PROBLEM} for status in statuses}


def media(*types: str) -> dict[str, Any]:
    """What a route says of an answer that is no JSON."""
    return {"content": {kind: {"schema": BYTES} for kind in types}}


def told(*, takes: Sequence[str] = (), gives: Sequence[str] = (), body: str = "") -> dict[str, Any]:
    """What a route says of itself in the OpenAPI document beyond its signature.

    ``takes``, ``gives``: names of headers (api/openapi.py describes each); ``body``: of one that is read by hand.
    """
    return {"x-takes": list(takes), "x-gives": list(gives), "x-body": body}


def answer(model: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A model as the JSON body of an answer."""
    return Response(model.model_dump_json(), status, dict(headers or {}), content_type="application/json")


def binary(data: bytes | Iterable[bytes], media_type: str, headers: Mapping[str, str] | None = None) -> Response:
    """Bytes as they are; a browser must not guess another type, and runs nothing of what it finds in them."""
    safe: dict[str, Any] = {
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; sandbox",
        "Cross-Origin-Resource-Policy": "same-origin",
        **(headers or {}),
    }
    return Response(data, 200, safe, content_type=media_type)


def nothing() -> Response:
    """204."""
    return Response(status=204)
