"""A model's training once more, over what is stored: the same bits, or a plain word on what has changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from api.access.service import Caller
from api.models.schemas import ModelOut
from api.problems import NotFound
from api.training.repeat import repeat
from clinical_mm.phantom import draw

SMALLEST = {
    "training.epochs": 1,
    "training.judged_cases": 0,
    "alignment.epochs": 1,
    "modalities.imaging.size": [32, 32],
    "modalities.text": {"model": "minilm", "max_tokens": 64, "stride": 16, "layers": 1, "learns": "nothing"},
}

pytestmark = pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)


@pytest.fixture
def admin(services: Any) -> Caller:
    caller: Caller = services.access.operator("default")
    return caller


@pytest.fixture
def first(services: Any, admin: Caller) -> ModelOut:
    for number, drawn in enumerate(draw(40, 3)):
        services.cases.submit_case(admin, replace(drawn.case, external_id=f"acc-{number}"))
    made: ModelOut = services.training.foreground(admin, "small", SMALLEST)
    return made


@pytest.mark.slow
def test_with_nothing_changed_the_weights_are_the_same_bit_for_bit(
    services: Any, admin: Caller, first: ModelOut
) -> None:
    services.cases.submit_case(admin, replace(next(iter(draw(1, 8))).case, external_id="later"))
    again = repeat(services.training, admin, first.id)
    assert again.told == (
        "the cases and their labels are the same",
        "metrics are equal",
        "weights are the same bit for bit",
    )
    assert again.model.id != first.id
    assert again.model.snapshot_sha256 == first.snapshot_sha256


@pytest.mark.slow
def test_what_is_gone_or_labelled_otherwise_is_told(services: Any, admin: Caller, first: ModelOut) -> None:
    cases = list(services.cases.select(admin.project_id, {"labelled": True}))
    services.cases.erase(admin, cases[0].id)
    told = repeat(services.training, admin, first.id).told
    assert told[0] == f"1 of its cases are gone since, or no longer labelled: {cases[0].id}"
    assert told[-1] == "weights differ"


@pytest.mark.slow
def test_a_model_that_started_from_another_is_repeated_from_that_one(
    services: Any, admin: Caller, first: ModelOut
) -> None:
    second = services.training.foreground(admin, "small", SMALLEST, start_from=first.id)
    assert second.card["started_from"]["sha256"] == first.weights_sha256
    assert second.weights_sha256 != first.weights_sha256
    assert repeat(services.training, admin, second.id).told[-1] == "weights are the same bit for bit"


def test_a_model_of_another_project_is_not_there(services: Any, model: str) -> None:
    stranger = services.access.operator("another hospital")
    with pytest.raises(NotFound):
        repeat(services.training, stranger, model)
    with pytest.raises(NotFound):
        services.training.foreground(stranger, "small", {}, start_from=model)
