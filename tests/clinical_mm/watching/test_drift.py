"""Drift is told where a feature really moved, and not where chance moves it."""

from __future__ import annotations

import numpy as np
import pytest

from clinical_mm.watching.drift import Value, drifts


def normal(count: int, mean: float = 0.0, seed: int = 0) -> list[Value]:
    return [float(v) for v in np.random.default_rng(seed).normal(mean, 1, count)]


def test_psi_is_that_of_a_worked_example() -> None:
    then: list[Value] = ["a"] * 50 + ["b"] * 50
    now: list[Value] = ["a"] * 80 + ["b"] * 20
    [one] = drifts({"site": then}, {"site": now})
    assert one.psi == pytest.approx(0.3 * np.log(0.8 / 0.5) + -0.3 * np.log(0.2 / 0.5))
    assert one.verdict == "drifted"


def test_the_same_cases_have_not_moved() -> None:
    [one] = drifts({"spo2": normal(200)}, {"spo2": normal(200)})
    assert (one.psi, one.verdict) == (0.0, "stable")
    assert one.p == 1


def test_a_shifted_vital_is_told_and_its_neighbour_is_not() -> None:
    then = {"spo2": normal(300), "heart_rate": normal(300, seed=1)}
    now = {"spo2": normal(150, mean=0.8, seed=2), "heart_rate": normal(150, seed=3)}
    first, second = drifts(then, now)
    assert (first.feature, first.verdict) == ("spo2", "drifted")
    assert (second.feature, second.verdict) == ("heart_rate", "stable")
    assert first.mean_now is not None
    assert first.mean_now > 0.5


def test_a_vital_that_is_measured_less_often_is_told_though_its_values_are_the_same() -> None:
    now = normal(100, seed=1) + [None] * 100
    [one] = drifts({"lactate": normal(200)}, {"lactate": now})
    assert one.verdict == "drifted"
    assert one.bins[-1].name == "not told"
    assert one.bins[-1].now == 0.5


def test_one_that_is_not_measured_any_more_is_told() -> None:
    nothing: list[Value] = [None] * 100
    [one] = drifts({"lactate": normal(200)}, {"lactate": nothing})
    assert (one.verdict, one.mean_now) == ("drifted", None)


def test_a_handful_of_cases_says_nothing() -> None:
    [one] = drifts({"spo2": normal(200)}, {"spo2": normal(10, mean=5)})
    assert one.verdict == "too few cases"


def test_chance_alone_seldom_alarms() -> None:
    alarms = 0
    for seed in range(30):
        then = {f"vital {k}": normal(200, seed=1000 * seed + k) for k in range(20)}
        now = {f"vital {k}": normal(60, seed=1000 * seed + 500 + k) for k in range(20)}
        alarms += any(one.verdict == "drifted" for one in drifts(then, now))
    assert alarms <= 2


def test_a_feature_of_one_value_is_no_trouble() -> None:
    same: list[Value] = [1.0] * 50
    [one] = drifts({"weight": same}, {"weight": list(same)})
    assert one.verdict == "stable"
    assert drifts({}, {}) == []


def test_values_beyond_one_that_many_shared_are_told() -> None:
    same: list[Value] = [512.0] * 50
    larger: list[Value] = [2048.0] * 50
    [one] = drifts({"image size": same}, {"image size": larger})
    assert one.verdict == "drifted"
    assert [(b.name, b.then, b.now) for b in one.bins] == [("512", 1, 0), ("above 512", 0, 1)]
    halves: list[Value] = [256.0, 512.0] * 25
    assert drifts({"image size": halves}, {"image size": [*halves[::2], *larger[:25]]})[0].verdict == "drifted"


def test_what_is_measured_neither_then_nor_now_is_not_listed() -> None:
    nothing: list[Value] = [None] * 50
    assert drifts({"ferritin": nothing}, {"ferritin": list(nothing)}) == []
