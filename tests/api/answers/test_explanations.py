"""Why a model said it, over HTTP."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def explained(client: httpx.Client, predicted: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(f"/predictions/{predicted['id']}/explanations", json={"target": "pneumonia"})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def test_an_account_can_be_summed_and_is_kept(
    client: httpx.Client, explained: dict[str, Any], predicted: dict[str, Any]
) -> None:
    total = sum(m["contribution"] for m in explained["modalities"])
    moved = explained["value"] - explained["baseline_value"]
    assert total == pytest.approx(moved, abs=0.02 * max(abs(moved), 0.1) + 1e-3)
    assert explained["scale"] == "log-odds"
    assert client.get(f"/explanations/{explained['id']}").json() == explained
    assert client.get(f"/predictions/{predicted['id']}/explanations").json()["items"] == [explained]


def test_the_same_question_again_gives_the_stored_account(
    client: httpx.Client, explained: dict[str, Any], predicted: dict[str, Any]
) -> None:
    again = client.post(f"/predictions/{predicted['id']}/explanations", json={"target": "pneumonia"}).json()
    assert again == explained


def test_without_a_target_the_most_probable_diagnosis_is_explained(
    client: httpx.Client, predicted: dict[str, Any]
) -> None:
    answer = client.post(f"/predictions/{predicted['id']}/explanations").raise_for_status().json()
    assert answer["target"] == predicted["diagnoses"][0]["code"]


def test_the_heat_map_lies_over_the_preview_or_alone(client: httpx.Client, explained: dict[str, Any]) -> None:
    where = explained["images"][0]["heatmap"].removeprefix("/v1")
    over = Image.open(BytesIO(client.get(where).raise_for_status().content))
    alone = Image.open(BytesIO(client.get(where, params={"overlay": "only"}).raise_for_status().content))
    assert (over.mode, alone.mode) == ("RGB", "RGBA")
    assert over.size == alone.size == (256, 256)
    assert np.asarray(alone)[..., 3].max() > 0
    assert client.get(where.replace("/0.png", "/9.png")).status_code == 404


def test_a_case_that_has_changed_is_not_explained_by_an_old_prediction(
    client: httpx.Client, predicted: dict[str, Any], case_id: str
) -> None:
    client.patch(f"/cases/{case_id}", json={"note": "Another note."}).raise_for_status()
    answer = client.post(f"/predictions/{predicted['id']}/explanations")
    assert answer.status_code == 409
    assert "predict again" in answer.json()["detail"]


@pytest.mark.parametrize("body", [{"target": "gout"}, {"methods": ["tea-leaves"]}, {"methods": []}, {"tagret": "x"}])
def test_a_wrong_question_is_refused(client: httpx.Client, predicted: dict[str, Any], body: dict[str, Any]) -> None:
    assert client.post(f"/predictions/{predicted['id']}/explanations", json=body).status_code == 422
