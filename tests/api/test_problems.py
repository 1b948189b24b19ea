"""Every fault leaves as problem+json, whoever raised it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from flask import Flask
from pydantic import BaseModel

from api import problems
from api.problems import CORE_STATUS, PointedError, ServiceError
from clinical_mm import errors as core
from tests.api.conftest import listening


def children(kind: type) -> Iterator[type]:
    for child in kind.__subclasses__():
        yield child
        yield from children(child)


@pytest.fixture
def app() -> Flask:
    made = Flask(__name__)
    problems.register(made)
    return made


def raising(app: Flask, error: Exception) -> httpx.Response:
    def view() -> str:
        raise error

    app.add_url_rule("/it", view_func=view)
    with listening(app) as url:
        return httpx.get(f"{url}/it")


@pytest.mark.parametrize("kind", [k for k in children(ServiceError) if k.__module__.startswith("api.problems")])
def test_each_service_error_answers_with_its_own_status(app: Flask, kind: type[ServiceError]) -> None:
    answer = raising(app, kind("what happened", errors=[PointedError(pointer="/a", detail="b")], retry_after_s=3))
    assert answer.status_code == kind.status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Retry-After"] == "3"
    assert answer.json()["detail"] == "what happened"
    assert answer.json()["errors"] == [{"pointer": "/a", "detail": "b"}]
    assert {"type", "title", "status"} <= set(answer.json())


@pytest.mark.parametrize("kind", CORE_STATUS)
def test_each_core_error_answers_as_the_table_says(app: Flask, kind: type[core.ClinicalMMError]) -> None:
    error = core.DamagedFile("0" * 64, "gone") if kind is core.DamagedFile else kind("what happened")
    assert raising(app, error).status_code == CORE_STATUS[kind]


def test_an_invalid_case_points_at_every_fault(app: Flask) -> None:
    error = core.InvalidCase("two faults", faults=[("/vitals/spo2", "too high"), ("/patient", "missing")])
    assert [e["pointer"] for e in raising(app, error).json()["errors"]] == ["/vitals/spo2", "/patient"]


def test_a_refused_key_tells_how_to_authenticate(app: Flask) -> None:
    assert raising(app, problems.Unauthenticated("no key")).headers["WWW-Authenticate"].startswith("Bearer")


def test_what_nobody_foresaw_is_500_and_tells_no_secret(app: Flask) -> None:
    answer = raising(app, ZeroDivisionError("password=hunter2"))
    assert answer.status_code == 500
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "hunter2" not in answer.text


def test_a_pointer_escapes_as_rfc_6901_says() -> None:
    class Inner(BaseModel):
        values: dict[str, int]

    with pytest.raises(ValueError, match="a/b~c") as caught:
        Inner.model_validate({"values": {"a/b~c": "x"}})
    assert [p.pointer for p in problems.pointed(caught.value)] == ["/values/a~1b~0c"]  # type: ignore[arg-type]


def test_an_unknown_path_and_a_wrong_method_are_problems_too(server_url: str) -> None:
    for method, path, status in (("GET", "/nothing/here", 404), ("GET", "/v1/nothing", 404), ("PUT", "/v1/cases", 405)):
        answer = httpx.request(method, f"{server_url}{path}")
        assert answer.status_code == status
        assert answer.headers["Content-Type"] == "application/problem+json"


def test_every_answer_carries_a_request_id_and_a_callers_own_is_kept(server_url: str) -> None:
    first, second = httpx.get(f"{server_url}/healthz"), httpx.get(f"{server_url}/healthz")
    assert first.headers["X-Request-Id"] != second.headers["X-Request-Id"]
    own = httpx.get(f"{server_url}/v1/cases", headers={"X-Request-Id": "trace-7"})
    assert own.headers["X-Request-Id"] == own.json()["request_id"] == "trace-7"
    forged = httpx.get(f"{server_url}/v1/cases", headers={"X-Request-Id": "<script>alert(1)</script>"})
    assert "<" not in forged.headers["X-Request-Id"]
