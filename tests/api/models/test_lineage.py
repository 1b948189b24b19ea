"""A model leads back to each case that made it, for those who may see them; what was erased since is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from clinical_mm.bundle_layout import MANIFEST
from clinical_mm.case import Case
from clinical_mm.manifest import Manifest

ClientAs = Callable[[str], httpx.Client]


@pytest.fixture
def made_of(services: Any, model: str, phantom_cases: list[Case]) -> list[str]:
    """Three stored cases that a model was made of."""
    admin = services.access.operator("default")
    cases = [
        services.cases.submit_case(admin, replace(case, external_id=f"used-{number}"))
        for number, case in enumerate(phantom_cases[:3])
    ]
    ids = [case.id for case in cases]
    path = services.models.bundle_folder(model) / MANIFEST
    path.unlink()  # a hard link to the bundle that other tests read
    parts = {"train": ids[:1], "validation": ids[1:2], "test": ids[2:]}
    Manifest.of(phantom_cases[:3], ids, parts).save(path)
    return ids


def test_each_case_is_listed_with_its_part_and_its_label(
    client_as: ClientAs, model: str, made_of: list[str], phantom_cases: list[Case]
) -> None:
    told = client_as("viewer").get(f"/models/{model}/cases").json()
    assert (told["model"], told["cases"], told["gone"], told["next_cursor"]) == (model, 3, 0, None)
    assert [c["case_id"] for c in told["items"]] == made_of
    assert [c["part"] for c in told["items"]] == ["train", "validation", "test"]
    assert [c["diagnoses"] for c in told["items"]] == [list(case.diagnoses or ()) for case in phantom_cases[:3]]


def test_a_case_erased_since_is_told_and_so_is_another_label(
    client: httpx.Client, model: str, made_of: list[str]
) -> None:
    client.delete(f"/cases/{made_of[0]}").raise_for_status()
    client.post(f"/cases/{made_of[1]}/reviews", json={"verdict": "override", "diagnoses": []}).raise_for_status()
    told = client.get(f"/models/{model}/cases").json()
    assert told["gone"] == 1
    assert [c["stored"] for c in told["items"]] == [False, True, True]
    assert told["items"][1]["diagnoses_now"] == []


def test_it_comes_in_pages(client: httpx.Client, model: str, made_of: list[str]) -> None:
    first = client.get(f"/models/{model}/cases", params={"limit": 2}).json()
    rest = client.get(f"/models/{model}/cases", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [c["case_id"] for c in first["items"] + rest["items"]] == made_of
    assert rest["next_cursor"] is None
    answer = client.get(f"/models/{model}/cases", params={"cursor": "next"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/cursor")


def test_another_project_sees_none_of_it(client_as: ClientAs, model: str, made_of: list[str]) -> None:
    assert made_of
    assert client_as("stranger").get(f"/models/{model}/cases").status_code == 404


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_a_model_from_before_there_were_manifests_says_so(client: httpx.Client, services: Any, model: str) -> None:
    (services.models.bundle_folder(model) / MANIFEST).unlink()
    answer = client.get(f"/models/{model}/cases")
    assert answer.status_code == 404
    assert "older than manifests are" in answer.json()["detail"]
