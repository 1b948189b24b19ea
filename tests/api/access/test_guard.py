"""Deny by default: every route declares a role, every role stops where it must, no project sees another."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from api.access.guard import needed_role
from api.access.service import Role
from api.app import create_app
from api.settings import Settings
from tests.api.conftest import case_json, listening

Clients = Callable[[str], httpx.Client]
RANK = ["nobody", "viewer", "clinician", "trainer", "admin"]

NEEDED = [
    ("GET", "/cases", "viewer"),
    ("GET", "/cases/counts", "viewer"),
    ("POST", "/cases/search", "viewer"),
    ("POST", "/cases/counts", "viewer"),
    ("GET", "/cases/{case}", "viewer"),
    ("POST", "/cases", "clinician"),
    ("PATCH", "/cases/{case}", "clinician"),
    ("DELETE", "/cases/{case}", "admin"),
    ("POST", "/reviews/any/withdraw", "clinician"),
    ("GET", "/project", "viewer"),
    ("PATCH", "/project", "admin"),
    ("GET", "/catalogue", "viewer"),
    ("GET", "/keys", "admin"),
    ("POST", "/keys", "admin"),
    ("GET", "/audit", "admin"),
]


def test_every_route_declares_who_may_call_it(settings: Settings) -> None:
    app = create_app(settings)
    undeclared = []
    for rule in app.url_map.iter_rules():
        try:
            needed_role(app, rule.endpoint)
        except LookupError:
            undeclared.append(rule.rule)
    assert undeclared == []


def test_every_route_of_the_api_needs_a_role(settings: Settings) -> None:
    app = create_app(settings)
    rules = [rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/v1")]
    assert [rule.rule for rule in rules if needed_role(app, rule.endpoint) is None] == []


def test_a_route_that_declares_nothing_is_refused(settings: Settings, keys: dict[str, str]) -> None:
    app = create_app(settings)
    app.add_url_rule("/v1/forgotten", view_func=lambda: "secret", endpoint="forgotten")
    with listening(app) as url:
        answer = httpx.get(f"{url}/v1/forgotten", headers={"Authorization": f"Bearer {keys['admin']}"})
    assert answer.status_code == 403
    assert "secret" not in answer.text


@pytest.mark.parametrize(("method", "path", "needed"), NEEDED, ids=lambda v: v if isinstance(v, str) else None)
def test_each_role_goes_as_far_as_it_may(client_as: Clients, method: str, path: str, needed: str) -> None:
    case = client_as("clinician").post("/cases", json=case_json()).json()["id"]
    for role in RANK:
        answer = client_as(role).request(method, path.format(case=case))
        if role == "nobody":
            assert answer.status_code == 401, (role, answer.text)
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        elif RANK.index(role) < RANK.index(needed):
            assert answer.status_code == 403, (role, answer.text)
        else:
            assert answer.status_code not in {401, 403}, (role, answer.text)


@pytest.mark.parametrize("scheme", ["Basic {}", "{}", "Bearer", "Bearer x", "bearer {}"])
def test_only_bearer_keys_open(server_url: str, keys: dict[str, str], scheme: str) -> None:
    header = scheme.format(keys["admin"])
    status = httpx.get(f"{server_url}/v1/cases", headers={"Authorization": header}).status_code
    assert status == (200 if scheme == "bearer {}" else 401)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/cases/{case}"),
        ("PATCH", "/cases/{case}"),
        ("DELETE", "/cases/{case}"),
        ("GET", "/cases/{case}/files/0"),
        ("GET", "/cases/{case}/files/0/preview.png"),
        ("GET", "/cases/{case}/files/0/raw"),
    ],
)
def test_a_case_of_another_project_does_not_exist(client_as: Clients, method: str, path: str) -> None:
    case = client_as("clinician").post("/cases", json=case_json()).json()["id"]
    answer = client_as("stranger").request(
        method, path.format(case=case), json={"note": "x"} if method == "PATCH" else None
    )
    assert answer.status_code == 404
    assert client_as("stranger").get("/cases").json()["items"] == []
    assert client_as("admin").get(f"/cases/{case}").status_code == 200


def test_two_projects_may_use_the_same_external_id(client_as: Clients) -> None:
    assert client_as("clinician").post("/cases", json=case_json()).status_code == 201
    assert client_as("stranger").post("/cases", json=case_json()).status_code == 201


def test_without_authentication_everyone_is_the_default_projects_admin(settings: Settings) -> None:
    with listening(create_app(settings.model_copy(update={"auth": "off"}))) as url:
        assert httpx.get(f"{url}/v1/audit").status_code == 200
        made = httpx.post(f"{url}/v1/cases", json=case_json())
        assert made.status_code == 201


def test_roles_include_those_before_them() -> None:
    assert Role.ADMIN.includes(Role.VIEWER)
    assert not Role.VIEWER.includes(Role.CLINICIAN)
