"""The Idempotency-Key of the request at hand."""

from __future__ import annotations

import re

from flask import request
from pydantic import BaseModel

from api.idempotency.service import SentKey
from api.problems import Invalid, PointedError

LONGEST = 200
PRINTABLE = re.compile(r"^[ -~]+$")
IDEMPOTENT = ["Idempotency-Key"]


def idempotency_key() -> str | None:
    """The header's value; raises Invalid.

    The draft writes it as a string in quotes (RFC 8941); without them the same key is meant.
    """
    text = request.headers.get("Idempotency-Key")
    if text is None:
        return None
    if len(text) > 2 and text[0] == text[-1] == '"':
        text = text[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if not (0 < len(text) <= LONGEST and PRINTABLE.match(text)):
        fault = PointedError(pointer="/Idempotency-Key", detail=f"must have 1 to {LONGEST} printable ASCII characters")
        raise Invalid(f"Idempotency-Key must have 1 to {LONGEST} printable ASCII characters", errors=[fault])
    return text


def sent_key(body: BaseModel) -> SentKey | None:
    """The key of a request with this body; None where it came without one."""
    return SentKey.of(idempotency_key(), request.method, request.path, body.model_dump_json())
