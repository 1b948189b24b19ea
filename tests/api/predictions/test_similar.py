"""Similar past cases: found in the model's own space, with what they turned out to be, in one's own project alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from clinical_mm.bundle_layout import PLACES
from clinical_mm.case import Case
from clinical_mm.phantom import draw
from clinical_mm.places import Places
from tests.models import CASES

ClientAs = Callable[[str], httpx.Client]


@pytest.fixture
def past(services: Any, model: str) -> dict[str, Case]:
    """Twelve of the cases that the model was trained on, stored, under the ids that its bundle knows: id -> case."""
    operator, file = services.access.operator("default"), services.models.bundle_folder(model) / PLACES
    places = Places.load(file)
    known = [d.case for d in draw(CASES, 0) if d.case.external_id in places.names and len(d.case.vitals) > 5][:12]
    stored = {str(services.cases.submit_case(operator, case).id): case for case in known}
    ids = {case.external_id: case_id for case_id, case in stored.items()}
    file.unlink()  # a link to the file of every other test's model
    Places(tuple(ids.get(name, name) for name in places.names), places.vectors).save(file)
    return stored


def test_the_likes_of_a_case_come_with_their_diagnoses_closest_first(
    client: httpx.Client, past: dict[str, Case], model: str
) -> None:
    asked, *others = past
    told = client.get(f"/cases/{asked}/similar", params={"limit": 4}).json()
    assert told["model"] == model
    assert len(told["items"]) == 4
    assert {s["case_id"] for s in told["items"]} <= set(others)  # never the case itself, never one that is not stored
    similarities = [s["similarity"] for s in told["items"]]
    assert similarities == sorted(similarities, reverse=True)
    assert all(sorted(s["diagnoses"]) == sorted(past[s["case_id"]].diagnoses or ()) for s in told["items"])


def test_an_erased_case_is_no_longer_found(client: httpx.Client, past: dict[str, Case]) -> None:
    asked = next(iter(past))
    nearest = client.get(f"/cases/{asked}/similar").json()["items"][0]["case_id"]
    assert client.delete(f"/cases/{nearest}").status_code == 204
    left = [s["case_id"] for s in client.get(f"/cases/{asked}/similar", params={"limit": 50}).json()["items"]]
    assert nearest not in left
    assert len(left) == len(past) - 2


def test_a_stranger_finds_nothing_and_a_wrong_limit_is_refused(
    client: httpx.Client, client_as: ClientAs, past: dict[str, Case]
) -> None:
    asked = next(iter(past))
    assert client_as("stranger").get(f"/cases/{asked}/similar").status_code == 404
    refused = client.get(f"/cases/{asked}/similar", params={"limit": 0})
    assert refused.status_code == 422
    assert "limit" in refused.json()["errors"][0]["pointer"]


def test_without_a_model_it_says_how_to_get_one(client: httpx.Client, case: str) -> None:
    assert client.get(f"/cases/{case}/similar").status_code == 503
