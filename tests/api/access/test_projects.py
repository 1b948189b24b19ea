"""How the cases of a project are read: asked for by an admin, over REST or on the machine."""

from __future__ import annotations

from collections.abc import Callable

import httpx

ClientAs = Callable[[str], httpx.Client]


def test_a_project_does_not_read_first_until_an_admin_says_so(client_as: ClientAs) -> None:
    admin, viewer = client_as("admin"), client_as("viewer")
    found = viewer.get("/project").json()
    assert (found["name"], found["read_first"]) == ("default", False)
    assert admin.patch("/project", json={"read_first": True}).json()["read_first"] is True
    assert viewer.get("/project").json()["read_first"] is True
    assert admin.patch("/project", json={}).json()["read_first"] is True
    assert client_as("stranger").get("/project").json()["read_first"] is False


def test_a_change_is_in_the_trail_once_and_only_an_admin_makes_it(client_as: ClientAs) -> None:
    admin = client_as("admin")
    for _ in range(2):
        admin.patch("/project", json={"read_first": True}).raise_for_status()
    [again, entry] = admin.get("/audit", params={"action": "project.change"}).json()["items"]
    assert (again["result"], again["detail"]) == ("unchanged", {})
    assert entry["detail"] == {"read_first": True}
    assert client_as("trainer").patch("/project", json={"read_first": False}).status_code == 403


def test_what_a_project_does_not_have_is_pointed_at(client_as: ClientAs) -> None:
    answer = client_as("admin").patch("/project", json={"colour": "red"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/colour")
