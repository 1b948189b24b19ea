"""The one error of the client: what the service refused, and why (RFC 9457)."""

from __future__ import annotations

from collections.abc import Sequence

import httpx
from pydantic import BaseModel, ValidationError


class Fault(BaseModel):
    """One fault in what was sent: where (RFC 6901 JSON pointer) and what."""

    pointer: str
    detail: str


class _Document(BaseModel):
    title: str
    detail: str = ""
    errors: list[Fault] = []
    request_id: str | None = None


class Problem(Exception):
    """An answer of 4xx or 5xx; ``status`` 0: no answer came.

    ``errors`` point at what was wrong; ``request_id`` names the request in the service's log.
    """

    def __init__(
        self, status: int, title: str, detail: str, errors: Sequence[Fault] = (), request_id: str | None = None
    ) -> None:
        faults = "".join(f"\n  {fault.pointer or '(the whole)'}: {fault.detail}" for fault in errors)
        named = f" [request {request_id}]" if request_id else ""
        super().__init__(f"{status or 'no answer'} {title}: {detail}{named}{faults}")
        self.status, self.title, self.detail = status, title, detail
        self.errors, self.request_id = tuple(errors), request_id

    @classmethod
    def of(cls, answer: httpx.Response) -> Problem:
        """What an answer tells; one that is no problem document, of a proxy perhaps, by its status alone."""
        try:
            told = _Document.model_validate_json(answer.read())
        except ValidationError:
            told = _Document(title=answer.reason_phrase, detail="the answer is no problem document")
        request_id = told.request_id or answer.headers.get("X-Request-Id")
        return cls(answer.status_code, told.title, told.detail, told.errors, request_id)
