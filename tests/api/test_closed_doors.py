"""What a server must not do by chance: list folders, answer other origins, trace, change anything at a GET."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from tests.api.conftest import case_json
from tests.api.stored import Stored, state_of

on_sqlite = pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)


@on_sqlite
@pytest.mark.parametrize(
    "path",
    [
        "/static/",
        "/static/js/",
        "/.git/config",
        "/.env",
        "/pyproject.toml",
        "/static/../routes.py",
        "/static/%2e%2e/routes.py",
    ],
)
def test_no_folder_is_listed_and_nothing_of_the_source_is_served(server_url: str, path: str) -> None:
    assert httpx.get(f"{server_url}{path}").status_code == 404


@on_sqlite
def test_trace_is_not_answered(server_url: str) -> None:
    for path in ("/", "/v1/cases", "/healthz"):
        answer = httpx.request("TRACE", f"{server_url}{path}", headers={"X-Secret": "canary"})
        assert answer.status_code == 405
        assert "canary" not in answer.text


@on_sqlite
def test_no_other_origin_is_let_in_by_itself(client: httpx.Client) -> None:
    for method in ("GET", "OPTIONS"):
        sent = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "GET"}
        answer = client.request(method, "/cases", headers=sent)
        assert "Access-Control-Allow-Origin" not in answer.headers


@on_sqlite
def test_a_form_of_another_site_cannot_send_what_the_api_takes(client: httpx.Client) -> None:
    """A page elsewhere may send these types without asking (CORS' simple requests); JSON it may not."""
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        answer = client.post("/keys", content='{"role": "admin", "name": "theirs"}', headers={"Content-Type": kind})
        assert answer.status_code == 415


@on_sqlite
def test_every_answer_names_its_type_and_a_page_its_characters(server_url: str, client: httpx.Client) -> None:
    client.post("/cases", json=case_json()).raise_for_status()
    for path in ("/healthz", "/v1/cases", "/v1/nothing", "/openapi.json", "/metrics", "/sign-in", "/static/pages.css"):
        answer = httpx.get(f"{server_url}{path}", headers=client.headers)
        assert answer.headers["Content-Type"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        if answer.headers["Content-Type"].startswith("text/"):
            assert "charset=utf-8" in answer.headers["Content-Type"]


def test_reading_changes_nothing_that_is_stored(
    client: httpx.Client, server_url: str, stored: Stored, case: str, model: str
) -> None:
    prediction = client.post(f"/cases/{case}/predictions").raise_for_status().json()["id"]
    explanation = client.post(f"/predictions/{prediction}/explanations", json={}).raise_for_status().json()["id"]
    ids = {"cases": case, "predictions": prediction, "explanations": explanation, "models": model}
    before = state_of(stored)
    document: dict[str, Any] = httpx.get(f"{server_url}/openapi.json").json()
    asked = 0
    for path, operations in document["paths"].items():
        if "get" in operations:
            room = path.split("/")[2]
            filled = re.sub(r"{id}", ids.get(room, "none"), path)
            httpx.get(server_url + re.sub(r"{\w+}", "0", filled), headers=client.headers, timeout=60)
            asked += 1
    assert asked > 20
    assert state_of(stored) == before


@on_sqlite
def test_a_value_counts_only_where_it_belongs(client: httpx.Client) -> None:
    """No parameter of the query takes the place of a field of the body, nor the other way round."""
    body = {"role": "viewer", "name": "ward"}
    made = client.post("/keys", params={"role": "admin"}, json=body)
    assert made.status_code != 201 or made.json()["role"] == "viewer"
    assert client.request("GET", "/cases", json={"limit": 1000}).status_code == 200
    assert client.get("/cases", params={"limit": 1000}).status_code == 422


@on_sqlite
def test_secrets_are_long_and_never_the_same(services: Any) -> None:
    operator = services.access.operator("default")
    from api.access.service import Role

    secrets = [services.access.create_key(operator, Role.VIEWER, "k")[1].split("_", 2)[2] for _ in range(3)]
    assert len(set(secrets)) == 3
    assert all(len(secret) * 6 >= 128 for secret in secrets), "base64: six bits a character"


@on_sqlite
def test_nothing_is_there_to_debug_with(server_url: str) -> None:
    for path in (
        "/console",
        "/v1/cases?__debugger__=yes&cmd=resource&f=debugger.js",
        "/debug",
        "/admin",
        "/metrics/../console",
    ):
        answer = httpx.get(f"{server_url}{path}")
        assert answer.status_code in {401, 404, 422}
        assert "Werkzeug" not in answer.text
