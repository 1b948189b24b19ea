"""What a search may look for, and how what it may not is refused."""

from __future__ import annotations

from typing import Any

import pytest

from clinical_mm.config import ModelConfig, known_configs
from clinical_mm.errors import InvalidConfig
from clinical_mm.search_space import own_values
from tests.models import tiny_config

RATE = {"low": 1e-4, "high": 1e-1, "log": True}


def searching(space: dict[str, Any], **options: Any) -> ModelConfig:
    return tiny_config(search={"trials": 4, "space": space, **options})


def test_a_space_holds_numbers_of_their_kind_and_choices_of_any() -> None:
    sizes = [[32, 32], [64, 64]]
    config = searching(
        {
            "training.learning_rate": RATE,
            "training.batch_size": {"low": 8, "high": 32, "step": 8},
            "modalities.imaging.size": {"choices": sizes},
            "fusion": {"choices": [{"name": "concat", "options": {"width": 32}}, {"name": "late"}]},
        }
    )
    space = config.search.space
    assert [space[name].holds(8) for name in ("training.batch_size", "training.learning_rate")] == [True, False]
    assert [space["training.batch_size"].holds(v) for v in (12, 16.0, True, 40)] == [False] * 4
    assert space["modalities.imaging.size"].probes() == tuple(sizes)
    assert ModelConfig.parse(config.model_dump(mode="json")) == config, "as it is kept, so it is read"


def test_the_baseline_is_what_the_configuration_says_itself() -> None:
    config = searching({"training.learning_rate": RATE, "fusion.options.width": {"choices": [16, 32]}})
    data = config.model_dump(mode="json")
    assert own_values(data, config.search.space) == {"training.learning_rate": 0.003, "fusion.options.width": 32}
    beyond = searching({"training.learning_rate": {"low": 0.01, "high": 0.1}})
    assert own_values(data, beyond.search.space) is None


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ({}, "trials without a space"),
        ({"training.pace": RATE}, "'training.pace' is no value of the configuration"),
        ({"training.learning_rate.x": RATE}, "'training.learning_rate.x' is no value"),
        ({"modalities.audio.width": RATE}, "'modalities.audio.width' is no value"),
        ({"training.learning_rate": {"low": 1.0, "high": 0.1}}, "low 1 must lie below high 0.1"),
        ({"training.learning_rate": {"low": 0.0, "high": 0.1, "log": True}}, "log wants a low above 0"),
        ({"training.learning_rate": {**RATE, "step": 0.1}}, "log and step exclude each other"),
        ({"training.batch_size": {"low": 8, "high": 30, "step": 8}}, "steps of 8 from low 8 do not meet high 30"),
        ({"training.learning_rate": {"low": 1e-4, "high": float("inf")}}, "finite"),
        ({"training.batch_size": {"low": 8.0, "high": 16.0}}, "training.batch_size = 10.96 does not fit"),
        ({"training.modality_dropout": {"low": 0.5, "high": 1.5}}, "training.modality_dropout = 1.5 does not fit"),
        ({"training.sampling": {"choices": ["balanced", "at-will"]}}, "training.sampling = 'at-will' does not fit"),
        ({"training.sampling": {"choices": ["balanced"]}}, "at least 2"),
        ({"training.learning_rate": {"low": 1, "choices": [1, 2]}}, "low"),
        ({"task.kind": {"choices": ["exclusive", "co-occurring"]}}, "task.kind: another task is another question"),
        ({"search.trials": {"low": 1, "high": 9}}, "search.trials: a search does not search for itself"),
        ({"training.seed": {"low": 0, "high": 9}}, "training.seed: the best of several seeds is luck"),
        ({"training.test_fraction": {"low": 0.1, "high": 0.3}}, "training.test_fraction: other cases would judge"),
        ({"training.validation_fraction": {"low": 0.1, "high": 0.3}}, "training.validation_fraction: other cases"),
        ({"fusion": {"choices": [{"name": "late"}, {}]}, "fusion.name": {"choices": ["late", "concat"]}}, "within"),
        ({"alignment.epochs": {"low": 0, "high": 5}}, "alignment.epochs turns alignment on or off"),
    ],
)
def test_what_cannot_be_searched_is_refused_with_the_reason(space: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidConfig) as refused:
        searching(space)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_changes_the_loss_is_not_judged_by_the_loss() -> None:
    space = {"training.focal_gamma": {"low": 0.0, "high": 2.0}}
    searching(space)
    with pytest.raises(InvalidConfig, match="losses of different kinds do not compare"):
        searching(space, metric="validation_loss")


def test_with_values_the_search_is_over() -> None:
    config = searching({"training.learning_rate": RATE})
    found = config.with_values({"training.learning_rate": 0.02, "fusion.options.width": 64})
    assert (found.training.learning_rate, found.fusion.options["width"], found.search.trials) == (0.02, 64, 0)
    assert found.search == tiny_config().search


def test_the_configuration_that_comes_along_searches_around_the_small_one() -> None:
    assert "search" in known_configs()
    search, small = ModelConfig.load("search"), ModelConfig.load("small")
    own = own_values(search.model_dump(mode="json"), search.search.space)
    assert own is not None, "its own values are the first trial"
    assert (search.training, search.modalities) == (small.training, small.modalities)
