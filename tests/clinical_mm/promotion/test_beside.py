"""A challenger beside the champion on live cases, where what they say is constructed."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss as reference

from clinical_mm.evaluation.metrics import log_loss
from clinical_mm.promotion.beside import Pair, beside
from tests.clinical_mm.promotion.contests import contest


def pair(number: int, champion: float, challenger: float, label: Sequence[str] | None = None) -> Pair:
    """A case of two diagnoses whose probabilities sum to 1."""
    old, new = ({"pneumonia": p, "heart-failure": 1 - p} for p in (champion, challenger))
    return Pair(f"case_{number}", f"p{number // 2}", old, new, label)


def live(cases: int, challenger: float, seed: int = 0) -> list[Pair]:
    """Labelled cases: a champion of skill 1 beside a challenger of another."""
    drawn = contest(cases, champion=1.0, challenger=challenger, seed=seed, resamples=2)
    said = zip(drawn.targets, drawn.champion.probabilities, drawn.challenger.probabilities, strict=True)
    return [
        Pair(
            f"case_{n}",
            f"p{n // 2}",
            dict(zip(drawn.diagnoses, old, strict=True)),
            dict(zip(drawn.diagnoses, new, strict=True)),
            [code for code, held in zip(drawn.diagnoses, targets, strict=True) if held],
        )
        for n, (targets, old, new) in enumerate(said)
    ]


def test_agreement_counts_the_most_probable_diagnosis_and_its_interval_is_wilson_s() -> None:
    told = beside([pair(n, 0.9, 0.6) for n in range(8)] + [pair(8, 0.9, 0.4), pair(9, 0.2, 0.7)])
    assert told.agreement.value == 0.8
    assert (told.agreement.low, told.agreement.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)  # Wilson, 1927
    everywhere = beside([pair(n, 0.9, 0.6) for n in range(10)]).agreement
    assert everywhere.value == 1
    assert everywhere.low < 0.75, "ten cases that agree are no proof that all do"


def test_distances_by_diagnosis_are_what_they_say() -> None:
    told = beside([pair(0, 0.25, 0.35), pair(1, 0.65, 0.55), pair(2, 0.9, 0.99)])
    failure, pneumonia = told.distances
    assert (failure.code, pneumonia.code) == ("heart-failure", "pneumonia")
    assert pneumonia.mean_absolute == pytest.approx((0.1 + 0.1 + 0.09) / 3)
    assert pneumonia.shift == pytest.approx(0.03)
    assert failure.shift == pytest.approx(-0.03)
    assert pneumonia.correlation == pytest.approx(np.corrcoef([0.25, 0.65, 0.9], [0.35, 0.55, 0.99])[0, 1])
    places = {(int(row), int(column)) for row, column in np.argwhere(pneumonia.joint)}
    assert places == {(2, 3), (6, 5), (9, 9)}
    assert pneumonia.joint.sum() == 3


def test_a_correlation_of_a_model_that_always_says_the_same_is_not_defined() -> None:
    told = beside([pair(0, 0.5, 0.3), pair(1, 0.5, 0.8)]).to_json()
    assert [one["correlation"] for one in told["diagnoses"]] == [None, None]
    json.dumps(told, allow_nan=False)


def test_the_most_differing_cases_come_first_and_those_that_do_not_differ_are_not_named() -> None:
    told = beside([pair(0, 0.5, 0.6), pair(1, 0.1, 0.9), pair(2, 0.4, 0.4)])
    assert [one.case for one in told.most_apart] == ["case_1", "case_0"]
    first = told.most_apart[0]
    assert abs(first.challenger - first.champion) == pytest.approx(0.8)
    assert len(beside([pair(n, 0.1, 0.2 + n / 100) for n in range(30)]).most_apart) == 10


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 1000))
def test_swapping_the_two_turns_every_difference_round(seed: int) -> None:
    there = live(60, 1.6, seed)
    back = [Pair(one.case, one.patient, one.challenger, one.champion, one.label) for one in there]
    one, other = beside(there), beside(back)
    assert one.agreement == other.agreement
    for here, turned in zip(one.distances, other.distances, strict=True):
        assert (here.mean_absolute, here.shift) == pytest.approx((turned.mean_absolute, -turned.shift))
        assert (here.joint == turned.joint.T).all()
    assert one.trial is not None
    assert other.trial is not None
    for name, gained in one.trial.gains.items():
        lost = other.trial.gains[name].difference
        assert (gained.difference.value, gained.difference.low) == pytest.approx((-lost.value, -lost.high))


def test_a_better_challenger_is_shown_to_be_better_by_both_metrics() -> None:
    trial = beside(live(300, 2.0)).trial
    assert trial is not None
    assert (trial.cases, trial.patients) == (300, 150)
    assert trial.gains["macro_auroc"].difference.low > 0
    assert trial.gains["log_loss"].difference.high < 0, "lower is better"


def test_only_labelled_cases_judge_and_a_label_of_no_diagnosis_is_one() -> None:
    told = beside([pair(0, 0.9, 0.1, []), pair(1, 0.8, 0.2), pair(2, 0.7, 0.3, ["pneumonia"])])
    assert told.cases == 3
    assert told.trial is not None
    assert told.trial.cases == 2
    assert beside([pair(0, 0.9, 0.1)]).trial is None


def test_diagnoses_that_one_of_them_alone_knows_are_left_out() -> None:
    one = Pair(
        "case_0", "p0", {"pneumonia": 0.4, "covid-19": 0.9}, {"pneumonia": 0.6, "tuberculosis": 0.9}, ["covid-19"]
    )
    told = beside([one])
    assert [distance.code for distance in told.distances] == ["pneumonia"]
    assert told.agreement.value == 1


@pytest.mark.parametrize("pairs", [[], [Pair("case_0", "p0", {"pneumonia": 1.0}, {"covid-19": 1.0}, ["pneumonia"])]])
def test_without_anything_in_common_nothing_is_claimed(pairs: list[Pair]) -> None:
    told = beside(pairs).to_json()
    assert told["cases"] == len(pairs)
    assert told["agreement"] == {"value": None, "low": None, "high": None}
    assert (told["diagnoses"], told["most_apart"], told["judged"]) == ([], [], None)


def test_log_loss_is_scikit_learn_s_and_finite_where_a_model_was_sure_and_wrong() -> None:
    draw = np.random.default_rng(3)
    targets, probabilities = (draw.random((40, 3)) < 0.4).astype(float), draw.random((40, 3))
    expected = np.mean([reference(targets[:, k], probabilities[:, k]) for k in range(3)])
    assert log_loss(targets, probabilities) == pytest.approx(expected)
    assert log_loss(np.ones(2), np.zeros(2)) == pytest.approx(-np.log(1e-6))
