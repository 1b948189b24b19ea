"""Keys: made once, shown once, hashed, revoked, expired, each for one project alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from api.access.service import Role
from api.access.tables import ApiKeyRow
from api.ground.clock import now
from api.problems import Forbidden, NotFound, Unauthenticated

Clients = Callable[[str], httpx.Client]


def test_a_key_opens_its_own_project_in_its_own_role(services: Any) -> None:
    admin = services.access.operator("default")
    key, secret = services.access.create_key(admin, Role.CLINICIAN, "ward 3")
    caller = services.access.authenticate(secret)
    assert (caller.key_id, caller.role, caller.project_id) == (key.id, Role.CLINICIAN, admin.project_id)


def test_the_secret_is_stored_nowhere(services: Any) -> None:
    _, secret = services.access.create_key(services.access.operator("default"), Role.VIEWER, "ward 3")
    with services.ground.database.reading() as session:
        hashes = list(session.scalars(select(ApiKeyRow.secret_hash)))
    assert all(h.startswith("$argon2id$") for h in hashes)
    assert not any(secret.split("_", 2)[2] in h for h in hashes)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda s: "",
        lambda s: "cmm_",
        lambda s: s[:-1] + ("a" if s[-1] != "a" else "b"),
        lambda s: s + "a",
        lambda s: s.upper(),
        lambda s: "cmm_0000000000_" + s.split("_", 2)[2],
        lambda s: "é" * 40,
        lambda s: "x" * 100_000,
    ],
)
def test_a_wrong_secret_is_refused(services: Any, spoil: Callable[[str], str]) -> None:
    _, secret = services.access.create_key(services.access.operator("default"), Role.ADMIN, "ward 3")
    services.access.authenticate(secret)
    with pytest.raises(Unauthenticated):
        services.access.authenticate(spoil(secret))


def test_a_revoked_key_stops_at_once_though_it_was_just_used(services: Any) -> None:
    admin = services.access.operator("default")
    key, secret = services.access.create_key(admin, Role.ADMIN, "ward 3")
    services.access.authenticate(secret)
    services.access.revoke(admin, key.id)
    with pytest.raises(Unauthenticated, match="revoked"):
        services.access.authenticate(secret)


def test_an_expired_key_is_refused(services: Any) -> None:
    admin = services.access.operator("default")
    _, secret = services.access.create_key(admin, Role.ADMIN, "ward 3", expires_at=now() - timedelta(seconds=1))
    with pytest.raises(Unauthenticated, match="expired"):
        services.access.authenticate(secret)


def test_only_an_admin_makes_lists_and_revokes_keys(services: Any) -> None:
    admin = services.access.operator("default")
    key, secret = services.access.create_key(admin, Role.TRAINER, "nightly")
    trainer = services.access.authenticate(secret)
    with pytest.raises(Forbidden):
        services.access.create_key(trainer, Role.VIEWER, "x")
    with pytest.raises(Forbidden):
        services.access.list_keys(trainer)
    with pytest.raises(Forbidden):
        services.access.revoke(trainer, key.id)


def test_a_key_of_another_project_is_not_found(services: Any) -> None:
    key, _ = services.access.create_key(services.access.operator("default"), Role.TRAINER, "nightly")
    stranger = services.access.operator("another hospital")
    assert [k.name for k in services.access.list_keys(stranger)] == ["stranger"]
    with pytest.raises(NotFound):
        services.access.revoke(stranger, key.id)


def test_keys_over_http_are_made_used_listed_and_revoked(client_as: Clients, server_url: str) -> None:
    admin = client_as("admin")
    made = admin.post("/keys", json={"role": "clinician", "name": "ward 3"})
    assert made.status_code == 201
    headers = {"Authorization": f"Bearer {made.json()['secret']}"}
    assert httpx.get(f"{server_url}/v1/cases", headers=headers).status_code == 200
    listed = admin.get("/keys").json()["items"]
    assert made.json()["id"] in [k["id"] for k in listed]
    assert all("secret" not in k and "secret_hash" not in k for k in listed)
    assert admin.delete(f"/keys/{made.json()['id']}").status_code == 204
    assert httpx.get(f"{server_url}/v1/cases", headers=headers).status_code == 401


def test_keys_made_and_revoked_are_in_the_trail(client_as: Clients) -> None:
    admin = client_as("admin")
    made = admin.post("/keys", json={"role": "viewer", "name": "ward 3"}).json()
    admin.delete(f"/keys/{made['id']}")
    trail = admin.get("/audit", params={"object_id": made["id"], "result": "changed"}).json()["items"]
    assert [(e["action"], e["object_type"]) for e in trail] == [("key.revoke", "key"), ("key.create", "key")]
    assert made["secret"] not in str(trail)


@pytest.mark.parametrize(
    "body",
    [{}, {"role": "root", "name": "x"}, {"role": "viewer", "name": ""}, {"role": "viewer", "name": "x", "more": 1}],
)
def test_a_wrong_key_request_is_422_with_pointers(client_as: Clients, body: dict[str, Any]) -> None:
    answer = client_as("admin").post("/keys", json=body)
    assert answer.status_code == 422
    assert all(e["pointer"].startswith("/") for e in answer.json()["errors"])
