"""Paired differences and what so many cases can show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_mm.evaluation.metrics import auroc, macro
from clinical_mm.promotion.gains import gain
from tests.clinical_mm.promotion.contests import contest

METRIC = macro(auroc)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_two_models_that_say_the_same_differ_by_nothing(seed: int) -> None:
    one = contest(60, seed=seed)
    same = gain(replace(one, challenger=one.champion), METRIC)
    assert (same.difference.value, same.difference.low, same.difference.high) == (0, 0, 0)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_swapping_the_models_turns_the_difference_round(seed: int) -> None:
    one = contest(60, challenger=2.0, seed=seed)
    there = gain(one, METRIC).difference
    back = gain(replace(one, champion=one.challenger, challenger=one.champion), METRIC).difference
    assert (back.value, back.low, back.high) == pytest.approx((-there.value, -there.high, -there.low))


def test_a_paired_difference_is_narrower_than_two_intervals_side_by_side() -> None:
    one = gain(contest(noise=0.2), METRIC)
    width = one.difference.high - one.difference.low
    assert width < (one.champion.high - one.champion.low) / 2


def test_a_hundred_cases_cannot_show_a_gain_of_two_hundredths() -> None:
    assert gain(contest(100, noise=1.0), METRIC).detectable > 0.02


def test_a_gain_as_large_as_told_is_found_about_four_times_in_five() -> None:
    tried = [gain(contest(200, challenger=1.7, seed=seed), METRIC) for seed in range(60)]
    told = float(np.mean([one.detectable for one in tried]))
    true = gain(contest(50_000, challenger=1.7, resamples=2), METRIC).difference.value
    assert true == pytest.approx(told, rel=0.15), "the skill above makes a gain of about what is told"
    assert 0.65 < np.mean([one.difference.low > 0 for one in tried]) < 0.95
