"""The one place where an error becomes problem+json (RFC 9457).

ServiceError               what a caller did or must do; knows its HTTP answer
├── NotFound         404
├── Unauthenticated  401
├── Forbidden        403
├── Conflict         409
├── PreconditionFailed 412
├── TooLarge         413
├── Unsupported      415
├── Invalid          422   with JSON pointers
├── TooBusy          429   with Retry-After
│   └── RateLimited        and RateLimit headers
└── NotReady         503   with Retry-After
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from flask import Flask, Response, g, jsonify
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import HTTPException

from clinical_mm import errors as core

log = logging.getLogger(__name__)


class PointedError(BaseModel):
    """One fault in the body: where (RFC 6901 JSON pointer) and what."""

    pointer: str
    detail: str


class ProblemDocument(BaseModel):
    """RFC 9457 problem details; ``errors`` is there for bad input."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[PointedError] | None = None
    request_id: str | None = None


class ServiceError(core.ClinicalMMError):
    """Root of the service's own errors."""

    status = HTTPStatus.BAD_REQUEST

    def __init__(
        self,
        detail: str,
        *,
        errors: Sequence[PointedError] = (),
        retry_after_s: int | None = None,
        challenge: str = "",
    ) -> None:
        """``challenge``: what WWW-Authenticate says beyond the realm (RFC 6750, 3)."""
        super().__init__(detail)
        self.detail = detail
        self.errors = list(errors)
        self.retry_after_s = retry_after_s
        self.challenge = challenge


class NotFound(ServiceError):
    """No such object in the caller's project."""

    status = HTTPStatus.NOT_FOUND


class Gone(ServiceError):
    """What was there once and will not be again."""

    status = HTTPStatus.GONE


class Unauthenticated(ServiceError):
    """No key, or one that is not valid."""

    status = HTTPStatus.UNAUTHORIZED


class Forbidden(ServiceError):
    """The key's role does not allow it."""

    status = HTTPStatus.FORBIDDEN


class Conflict(ServiceError):
    """The object exists already, or is in a state that does not allow it."""

    status = HTTPStatus.CONFLICT


class PreconditionFailed(ServiceError):
    """If-Match does not name the stored version."""

    status = HTTPStatus.PRECONDITION_FAILED


class TooLarge(ServiceError):
    """More bytes than are taken."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class Unsupported(ServiceError):
    """A file, or a body, of a kind that is not read here."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class Invalid(ServiceError):
    """The request is well-formed but wrong; ``errors`` point at what."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class TooBusy(ServiceError):
    """The queue is full; come back later."""

    status = HTTPStatus.TOO_MANY_REQUESTS


class RateLimited(TooBusy):
    """This caller, or this address, asks too often."""

    def __init__(
        self,
        detail: str,
        *,
        errors: Sequence[PointedError] = (),
        retry_after_s: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail, errors=errors, retry_after_s=retry_after_s)
        self.headers = dict(headers or {})


class NotReady(ServiceError):
    """Something this needs is not there yet: a model, the database, the blob store."""

    status = HTTPStatus.SERVICE_UNAVAILABLE


CORE_STATUS: dict[type[core.ClinicalMMError], HTTPStatus] = {
    core.InvalidCase: HTTPStatus.UNPROCESSABLE_ENTITY,
    core.UnsupportedFile: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    core.UnreadableFile: HTTPStatus.UNPROCESSABLE_ENTITY,
    core.DamagedFile: HTTPStatus.INTERNAL_SERVER_ERROR,
    core.DecoderUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    core.InvalidConfig: HTTPStatus.UNPROCESSABLE_ENTITY,
    core.InvalidBundle: HTTPStatus.UNPROCESSABLE_ENTITY,
    core.NotEnoughData: HTTPStatus.CONFLICT,
    core.SuspectLabels: HTTPStatus.CONFLICT,
    core.Cancelled: HTTPStatus.CONFLICT,
}
"""The HTTP answer of each core error; a subclass answers as its nearest listed ancestor."""


def pointer(location: Sequence[int | str]) -> str:
    """A JSON pointer (RFC 6901) from the path of a pydantic error."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


def pointed(error: ValidationError, prefix: str = "") -> list[PointedError]:
    """The faults that pydantic found, as pointers."""
    return [PointedError(pointer=prefix + pointer(e["loc"]), detail=e["msg"]) for e in error.errors(include_url=False)]


def problem(
    status: int, detail: str, errors: Sequence[PointedError] = (), headers: dict[str, str] | None = None
) -> Response:
    """A problem+json answer."""
    document = ProblemDocument(
        title=HTTPStatus(status).phrase,
        status=int(status),
        detail=detail,
        errors=list(errors) or None,
        request_id=g.get("request_id"),
    )
    response: Response = jsonify(document.model_dump(exclude_none=True))
    response.status_code = int(status)
    response.content_type = "application/problem+json"
    response.headers.update(headers or {})
    return response


def register(app: Flask) -> None:
    """Make every error that leaves a view a problem+json answer."""
    app.register_error_handler(ServiceError, _service_error)
    app.register_error_handler(core.ClinicalMMError, _core_error)
    app.register_error_handler(ValidationError, _validation_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected)


def _service_error(error: ServiceError) -> Response:
    headers = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
    if isinstance(error, RateLimited):
        headers |= error.headers
    if error.challenge or isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = ", ".join(filter(None, ('Bearer realm="clinical_mm"', error.challenge)))
    return problem(error.status, error.detail, error.errors, headers)


def status_of(error: core.ClinicalMMError) -> HTTPStatus:
    """The HTTP status of a core error; a fault of ours is logged."""
    status = next((CORE_STATUS[c] for c in type(error).__mro__ if c in CORE_STATUS), HTTPStatus.BAD_REQUEST)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("answered with %d: %s", status, error)
    return status


def _core_error(error: core.ClinicalMMError) -> Response:
    status = status_of(error)
    faults = error.faults if isinstance(error, core.InvalidCase) else ()
    errors = [PointedError(pointer=where, detail=what) for where, what in faults]
    return problem(status, str(error), errors)


def _validation_error(error: ValidationError) -> Response:
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "the request does not fit its schema", pointed(error))


def _http_error(error: HTTPException) -> Response:
    headers: dict[str, str] = {k: v for k, v in error.get_headers() if k.lower() in {"allow", "retry-after"}}
    return problem(error.code or 500, error.description or "", headers=headers)


def _unexpected(error: Exception) -> Response:
    log.error("unexpected error %s", type(error).__name__, exc_info=error)
    return problem(500, "the server met an unexpected error; its log has the details under this request id")
