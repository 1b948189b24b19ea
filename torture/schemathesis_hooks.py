"""Loaded by Schemathesis: answers that are right though the schema of the request cannot tell why.

Each entry is one rule of the service that JSON Schema has no words for. Everything else that Schemathesis calls a
failure is one.
"""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import schemathesis

BY_ITS_SCHEMA: dict[str, str] = {
    r"the cursor does not fit": "a cursor is opaque: only the service can make one, for one order",
    r"a case needs at least one of": "whether something is left of a case depends on its files, and on what is stored",
    r"the case is at version": "whether a version is in force depends on who else changed the case",
    r"is not plausible|does not convert into": "a range in another unit takes UCUM to compute",
    r"^a part `files` needs a filename": "a schema describes the content of a part, not its header",
    r"^file \d+ \(": "whether bytes are a picture takes a decoder",
    r"^an override says|^an unsure review|^a confirmation names|^before the model|^a verdict from before": "which "
    "fields a verdict takes depends on the verdict: told in the schema's description",
    r"Extra inputs are not permitted|^no configuration|^cannot set": "a configuration has a schema of its own",
    r"^baselines:|has no such diagnosis|does not offer": "what a model can explain differs from model to model",
    r"takes cases only without identity": "whether a note or a file tells who it is about takes reading it",
    r"must lie between the years": "a pattern beside a format is more than generators of data can follow",
}
"""Detail of a refusal -> why no schema says it: what fits the schema, and is refused all the same."""
AGAINST_ITS_SCHEMA: dict[str, str] = {
    r"the case is at version": "a precondition that fails may be answered first (RFC 9110, 13.2.2)",
}
"""Detail of a 412 -> why: what does not fit the schema, and is refused for another reason."""
EXCUSED = {"RejectedPositiveData": BY_ITS_SCHEMA, "AcceptedNegativeData": AGAINST_ITS_SCHEMA}
_number = itertools.count()


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Whether a failure is one."""
    excuses = EXCUSED.get(type(failure).__name__, {})
    if response.status_code not in {412, 422}:
        return True
    told = json.loads(response.content)
    detail = "; ".join([told["detail"], *(fault["detail"] for fault in told.get("errors", ()))])
    return not any(re.search(pattern, detail) for pattern in excuses)


@schemathesis.serializer("application/x-ndjson")
def lines(_: Any, value: Any) -> bytes:
    """Lines as they are; what is no text, to be refused, as JSON."""
    return (value if isinstance(value, str) else json.dumps(value, default=str)).encode()


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Give each request an Idempotency-Key of its own, where it has one that is valid: one for all would act once."""
    key = case.headers.get("Idempotency-Key") if case.headers else None
    valid = case.meta is None or case.meta.generation.mode.is_positive
    if valid and isinstance(key, str) and re.fullmatch(r"[ -~]{1,200}", key):
        case.headers["Idempotency-Key"] = f"{next(_number)}-{key}"[: max(len(key), 12)]
