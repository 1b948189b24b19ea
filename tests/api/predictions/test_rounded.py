"""Scores are shown in few digits, and kept in many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from api.predictions.tables import PredictionRow

Says = Callable[..., dict[str, Any]]


def test_an_answer_has_three_digits_and_what_is_stored_six(
    client: httpx.Client, services: Any, says: Says, model: str, case: str
) -> None:
    said = says(case, {"pneumonia": 0.8123456, "covid-19": 0.4996}, information=0.123456)
    assert [d["probability"] for d in said["diagnoses"]] == [0.812, 0.5]
    assert said["information"]["score"] == 0.123
    assert client.get(f"/predictions/{said['id']}").json() == said
    with services.ground.database.reading() as session:
        stored = session.scalars(select(PredictionRow)).one().result
    assert [d["probability"] for d in stored["diagnoses"]] == [0.812346, 0.4996]


def test_a_confirmation_confirms_what_was_shown(client: httpx.Client, says: Says, model: str, case: str) -> None:
    said = says(case, {"pneumonia": 0.8, "covid-19": 0.4996, "sepsis": 0.4994})
    review = client.post(f"/cases/{case}/reviews", json={"verdict": "confirm", "prediction": said["id"]})
    assert review.raise_for_status().json()["diagnoses"] == ["covid-19", "pneumonia"]


def test_what_a_list_is_sorted_by_tells_no_more_than_the_answer(
    client: httpx.Client, says: Says, model: str, case: str
) -> None:
    says(case, {"pneumonia": 0.8123456}, information=0.123456)
    [listed] = client.get("/cases", params={"order": "uncertainty"}).json()["items"]
    assert listed == client.get(f"/cases/{case}").json()
    assert (listed["uncertainty"], listed["information"]) == (0.697, 0.123)


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_how_many_digits_is_a_setting(
    client: httpx.Client, services: Any, says: Says, model: str, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services.ground.settings, "score_digits", 1)
    assert says(case, {"pneumonia": 0.8123456})["diagnoses"][0]["probability"] == 0.8
