"""/openapi.json: what the framework cannot know of a route, added to the document that it makes."""

from __future__ import annotations

import json
import re
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from flask_openapi import OpenAPI

from api.access.guard import needed_role
from api.bulk.routes import IMPORT_BODY
from api.cases.routes import CASE_BODY
from api.cases.schemas import CaseIn
from api.ground.wire import PROBLEM
from api.idempotency.header import LONGEST, PRINTABLE
from clinical_mm.catalogue import Catalogue, Range

Json = dict[str, Any]

EXAMPLES = Path(__file__).parent / "examples.json"
"""operationId -> ``request``, and the answers by status; recorded from a real service (tests/api/examples.py)."""
BODIES = {"case": CASE_BODY, "import": IMPORT_BODY}
ALWAYS, BODY = (401, 403, 429, 500, 503), (400, 413, 415)
"""Statuses that any operation may answer with, and any that takes a body."""

TEXT, NUMBER = {"type": "string"}, {"type": "integer", "minimum": 0}
GIVES: dict[str, Json] = {
    "X-Request-Id": {"description": "names this request, in the logs and the audit trail too", "schema": TEXT},
    "Location": {"description": "where to read what was made", "schema": {"type": "string", "format": "uri-reference"}},
    "ETag": {"description": "the version, for If-Match and If-None-Match (RFC 9110, 8.8.3)", "schema": TEXT},
    "Retry-After": {"description": "seconds after which to try again (RFC 9110, 10.2.3)", "schema": NUMBER},
    "WWW-Authenticate": {"description": "how to authenticate (RFC 6750)", "schema": TEXT},
    "Content-Disposition": {"description": "the name that the file was sent with", "schema": TEXT},
    "X-Rows": {"description": "rows of the frame", "schema": NUMBER},
    "X-Columns": {"description": "columns of the frame", "schema": NUMBER},
    "X-Slope": {"description": "value = slope * stored + intercept", "schema": {"type": "number"}},
    "X-Intercept": {"description": "value = slope * stored + intercept", "schema": {"type": "number"}},
}
"""Headers of answers."""
REFERENCE = re.compile(r"#/components/responses/(\d+)")
OF_REFUSALS = {401: ["WWW-Authenticate"], 429: ["Retry-After"], 503: ["Retry-After"]}
TAKES: dict[str, Json] = {
    "X-Request-Id": {
        "description": "the caller's own name for this request, taken where it is 16 hexadecimal digits or more, "
        "or such digits behind `trace-`, `span-` or `req-`",
        "schema": TEXT,
    },
    "Idempotency-Key": {
        "description": "a request that comes again with the same key acts once; with another body it is refused (422)",
        "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST, "pattern": PRINTABLE.pattern},
        "example": "8e03978e-40d5-43dd-bc93-6894a57f9324",
    },
    "If-Match": {
        "description": "ETags that the caller has seen; 412 where the version is another by now",
        "schema": TEXT,
        "example": '"1"',
    },
    "If-None-Match": {"description": "ETags that the caller has; 304 where one is still in force", "schema": TEXT},
}
"""Headers of requests."""
OF_A_MODEL = (
    *("get_model", "get_report", "get_card", "list_used_cases", "get_comparison", "compare_model"),
    *("promote_model", "begin_shadow", "get_shadow", "end_shadow"),
)
OF_A_CASE = (
    *("get_case", "change_case", "erase_case", "list_predictions", "create_prediction", "list_similar"),
    *("list_reviews", "create_review"),
)
LINKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "submit_case": ("/id", OF_A_CASE),
    "create_prediction": ("/id", ("get_prediction", "create_explanation", "list_explanations")),
    "create_explanation": ("/id", ("get_explanation",)),
    "create_review": ("/id", ("withdraw_review",)),
    "start_training": ("/id", ("get_training", "cancel_training", "watch_training", "read_log")),
    "start_import": ("/id", ("get_import", "list_import_results", "cancel_import")),
    "start_predictions": ("/id", ("get_prediction_run", "list_prediction_results", "cancel_prediction_run")),
    "list_models": ("/items/0/id", OF_A_MODEL),
    "create_key": ("/id", ("revoke_key",)),
}
"""Operation -> where its answer holds an id (RFC 6901), and the operations that take it."""


def document(app: OpenAPI, catalogue: Catalogue) -> Json:
    """The whole document of an app, under the vitals and diagnoses in force."""
    whole: Json = app.api_doc
    whole["info"]["license"] = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
    named = {(m, _template(rule.rule)): rule.endpoint for rule in app.url_map.iter_rules() for m in rule.methods or ()}
    for path, item in whole["paths"].items():
        for method, operation in item.items():
            endpoint = named[method.upper(), path]
            operation["operationId"] = endpoint.rpartition(".")[2]
            if (role := needed_role(app, endpoint)) is not None:
                operation["x-role"] = str(role)
            _complete(operation, method, whole["components"]["schemas"])
    parts = whole["components"]
    parts["headers"] = GIVES
    refused = set(REFERENCE.findall(json.dumps(whole["paths"])))
    parts["responses"] = {s: _refusal(HTTPStatus(int(s)).phrase, *OF_REFUSALS.get(int(s), ())) for s in sorted(refused)}
    parts["parameters"] = {name: {"name": name, "in": "header", **told} for name, told in TAKES.items()}
    schemas: Json = parts["schemas"]
    own = CaseIn.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(own.pop("$defs", {}))
    schemas[CaseIn.__name__] = own
    _name_what_is_known(schemas, catalogue)
    return whole


def _takes_nothing(schema: Json) -> bool:
    """Whether an empty object fits."""
    return "required" not in schema and all(map(_takes_nothing, schema.get("oneOf", ())))


def _complete(operation: Json, method: str, schemas: Json) -> None:
    """Bodies, headers, refusals, links and examples of one operation."""
    takes, gives = operation.pop("x-takes", []), operation.pop("x-gives", [])
    if body := operation.pop("x-body", ""):
        operation["requestBody"] = BODIES[body]
    elif "requestBody" in operation:
        sent = schemas[operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]]
        operation["requestBody"]["required"] = not _takes_nothing(sent)  # no body at all is an empty object
    parameters = operation.setdefault("parameters", [])
    answers: Json = operation["responses"]
    statuses = {*ALWAYS, *((404,) if any(p["in"] == "path" for p in parameters) else ())}
    statuses |= {422} if parameters or takes or "requestBody" in operation else set()
    statuses |= set(BODY) if "requestBody" in operation else set()
    statuses |= {507} if method != "get" else set()
    parameters += [{"$ref": f"#/components/parameters/{name}"} for name in (*takes, "X-Request-Id")]
    for status, answer in answers.items():
        answer["headers"] = _headers("X-Request-Id", *gives)
        statuses |= {int(status)} if int(status) >= HTTPStatus.BAD_REQUEST else set()
    answers |= {str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses}
    operation["responses"] = dict(sorted(answers.items())) | {"default": _refusal("another problem (RFC 9457)")}
    _link(operation)
    _show(operation)


def _refusal(description: str, *headers: str) -> Json:
    return {"description": description, "content": PROBLEM, "headers": _headers("X-Request-Id", *headers)}


def _headers(*names: str) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _link(operation: Json) -> None:
    where, targets = LINKS.get(operation["operationId"], ("", ()))
    if targets:
        answer = next(told for status, told in operation["responses"].items() if status.startswith("2"))
        answer["links"] = {
            target: {"operationId": target, "parameters": {"id": f"$response.body#{where}"}} for target in targets
        }


def _show(operation: Json) -> None:
    """Its examples, where there are any."""
    shown = examples().get(operation["operationId"], {})
    if "request" in shown:
        operation["requestBody"]["content"]["application/json"]["example"] = shown["request"]
    for status, answer in shown.get("responses", {}).items():
        operation["responses"][status]["content"]["application/json"]["example"] = answer


@cache
def examples() -> Json:
    """The recorded examples."""
    return dict(json.loads(EXAMPLES.read_text(encoding="utf-8")))


def _name_what_is_known(schemas: Json, catalogue: Catalogue) -> None:
    """The vitals and diagnoses that a case may have, with the range of a bare number."""
    measurement = {"$ref": "#/components/schemas/Measurement"}
    codes = {"type": "string", "enum": [diagnosis.code for diagnosis in catalogue.diagnoses]}
    vitals = {
        "type": "object",
        "properties": {
            vital.name: {
                "description": f"{vital.display}; a bare number is in {vital.unit}",
                "anyOf": [{"type": "number", **_within(vital.plausible)}, measurement],
            }
            for vital in catalogue.vitals
        },
        "additionalProperties": False,
    }
    for name in ("CaseDocument", "CaseChange"):
        fields = schemas[name]["properties"]
        fields["vitals"] = vitals if name == "CaseDocument" else {"anyOf": [vitals, {"type": "null"}]}
        _array_of(fields["diagnoses"])["items"] = codes
    _array_of(schemas["ReviewIn"]["properties"]["diagnoses"])["items"] = codes


def _within(plausible: Range) -> Json:
    sides = {"minimum": plausible.low, "maximum": plausible.high}
    return {name: limit for name, limit in sides.items() if limit is not None}


def _array_of(nullable: Json) -> Json:
    return next(one for one in nullable["anyOf"] if one.get("type") == "array")


def _template(rule: str) -> str:
    """``/cases/<int:n>`` as OpenAPI writes it: ``/cases/{n}``."""
    return re.sub(r"<(?:[^<:]+:)?([^>]+)>", r"{\1}", rule)
