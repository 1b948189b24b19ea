"""Logs hold no patient data, whoever writes them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from api.ground.logs import FIELDS, JsonFormatter, TextFormatter
from clinical_mm.errors import InvalidCase, NotEnoughData

NAME = "Quillfeather"


def record(
    logger: str, message: str, *args: Any, error: BaseException | None = None, **extra: Any
) -> logging.LogRecord:
    made = logging.LogRecord(
        logger,
        logging.ERROR,
        "/x/module.py",
        7,
        message,
        args,
        (type(error), error, error.__traceback__) if error else None,
    )
    made.__dict__.update(extra)
    return made


def raised() -> BaseException:
    try:
        try:
            {}[NAME]
        except KeyError as error:
            raise ValueError(f"row of {NAME}") from error
    except ValueError as error:
        return error
    return ValueError()


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
@pytest.mark.parametrize(
    "told",
    [
        record("pydicom", f"Invalid value for VR PN: {NAME}"),
        record("gunicorn.error", "Error handling request %s", f"/cases/{NAME}"),
        record("sqlalchemy.engine", "INSERT INTO cases %s", f"('{NAME}')"),
        record("py.warnings", "%s", f"bad header {NAME}"),
        record("api.app", f"Exception on /cases/{NAME} [GET]"),
        record("api.problems", "unexpected error", error=raised()),
        record("werkzeug", "failed", error=raised()),
        record("api.x", "refused: %s", InvalidCase(f"no {NAME}")),
        record("pydicom", "a record", **{FIELDS: {"name": NAME}}),
    ],
    ids=lambda told: told.name if isinstance(told, logging.LogRecord) else "",
)
def test_what_may_quote_a_caller_is_not_written(formatter: logging.Formatter, told: logging.LogRecord) -> None:
    line = formatter.format(told)
    assert NAME not in line
    assert "\n" not in line
    assert told.name in line


def test_where_and_what_kind_of_error_is_told() -> None:
    line = json.loads(JsonFormatter().format(record("api.problems", "unexpected error", error=raised())))
    assert line["error"] == ["ValueError", "KeyError"]
    assert line["raised"][-1].endswith("raised")
    assert line["message"] == "unexpected error"


def test_what_an_operator_must_know_is_told() -> None:
    line = JsonFormatter().format(
        record("api.training", "run %s failed: %s", "run_1", NotEnoughData("3 labelled cases"))
    )
    assert json.loads(line)["message"] == "run run_1 failed: 3 labelled cases"


def test_no_word_begins_a_line_of_its_own() -> None:
    told = record("api.x", "%s", NotEnoughData("none\n2026-11-28 INFO forged\u2028\x1b[2J"))
    line = TextFormatter().format(told)
    assert line.splitlines() == [line]
    assert "none\\n2026" in line
    assert "\x1b" not in line


def test_a_constant_message_of_a_library_stays() -> None:
    line = json.loads(JsonFormatter().format(record("psycopg.pool", "connections: %s", 17)))
    assert line["message"] == "connections: %s"
    assert line["where"] == "module.py:7"


def test_the_web_server_says_which_process_and_which_signal() -> None:
    told = record("gunicorn.error", "Worker (pid:%s) was sent %s!", 17, "SIGKILL")
    assert json.loads(JsonFormatter().format(told))["message"] == "Worker (pid:17) was sent SIGKILL!"


def test_a_request_is_one_line_with_its_route_and_key(
    client_as: Callable[[str], httpx.Client], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="api.request")
    answer = client_as("viewer").get(f"/cases/{NAME}", params={"q": NAME}, headers={"X-Request-Id": f"req-{NAME}"})
    (line,) = [r for r in caplog.records if r.name == "api.request"]
    told = json.loads(JsonFormatter().format(line))
    assert told["route"] == "/v1/cases/<id>"
    assert (told["method"], told["status"], told["request_id"]) == ("GET", 404, answer.headers["X-Request-Id"])
    assert told["key"].startswith("key_")
    assert NAME not in json.dumps(told) + answer.text
