"""Metrics agree with scikit-learn's, and their intervals mean something."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    f1_score,
    recall_score,
    roc_auc_score,
    roc_curve,
)

from clinical_mm.evaluation import weighted
from clinical_mm.evaluation.metrics import (
    Bootstrap,
    auroc,
    brier,
    expected_calibration_error,
    macro,
    sensitivity_at_specificity,
    with_interval,
)


def drawn(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    targets = (rng.random(count) < 0.3).astype(float)
    return targets, np.round(1 / (1 + np.exp(-rng.normal(targets * 1.5, 1))), 2)


def test_auroc_is_scikit_learns_ties_included() -> None:
    for seed in range(5):
        targets, scores = drawn(200, seed)
        assert auroc(targets, scores) == pytest.approx(roc_auc_score(targets, scores))


def test_one_class_alone_has_no_auroc() -> None:
    assert np.isnan(auroc(np.zeros(4), np.arange(4.0)))
    assert macro(auroc)(np.array([[0, 1], [0, 0]]), np.array([[0.1, 0.9], [0.2, 0.3]])) == 1.0


def test_the_interval_holds_the_value_and_narrows_with_more_patients() -> None:
    few, many = (with_interval(auroc, *drawn(n), [str(i) for i in range(n)]) for n in (60, 600))
    assert few.low < few.value < few.high
    assert many.high - many.low < few.high - few.low


def test_repeated_cases_of_one_patient_do_not_narrow_the_interval() -> None:
    targets, scores = drawn(60)
    once = with_interval(auroc, targets, scores, [str(i) for i in range(60)])
    patients = [str(i % 60) for i in range(240)]
    repeated = with_interval(auroc, np.tile(targets, 4), np.tile(scores, 4), patients)
    assert repeated.high - repeated.low == pytest.approx(once.high - once.low, rel=0.2)


def test_calibration_error_is_zero_for_honest_and_large_for_boastful_probabilities() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(20_000)
    targets = (rng.random(20_000) < p).astype(float)
    assert expected_calibration_error(targets, p) < 0.02
    assert expected_calibration_error(targets, np.where(p > 0.5, 0.99, 0.01)) > 0.2
    assert brier(targets, targets) == 0


def test_weighted_metrics_are_scikit_learns_with_its_sample_weights() -> None:
    targets, scores = drawn(150, 3)
    weights = np.random.default_rng(1).integers(0, 4, (6, 150)).astype(float)
    decided = (scores >= 0.5).astype(float)
    theirs = (
        (weighted.auroc, scores, roc_auc_score),
        (weighted.average_precision, scores, average_precision_score),
        (weighted.f1, decided, f1_score),
        (weighted.sensitivity, decided, recall_score),
        (weighted.brier, scores, brier_score_loss),
    )
    for ours, said, reference in theirs:
        wanted = [reference(targets, said, sample_weight=row) for row in weights]
        assert ours(targets, said, weights) == pytest.approx(wanted), reference.__name__


def test_sensitivity_at_a_fixed_specificity_is_read_off_the_roc_curve() -> None:
    targets, scores = drawn(300, 4)
    false_alarms, found, _ = roc_curve(targets, scores, drop_intermediate=False)
    assert sensitivity_at_specificity(0.9)(targets, scores) == pytest.approx(found[false_alarms <= 0.1].max())
    assert sensitivity_at_specificity(1.0)(np.array([1.0, 0.0]), np.array([0.9, 0.1])) == 1.0


def test_differences_between_groups_are_paired_and_hold_zero_where_there_is_none() -> None:
    targets, scores = drawn(400, 5)
    half = np.arange(400) % 2 == 0
    alike = Bootstrap([str(i) for i in range(400)]).difference(auroc, targets, scores, half)
    spoiled = np.where(half, 1 - scores, scores)
    apart = Bootstrap([str(i) for i in range(400)]).difference(auroc, targets, spoiled, half)
    assert alike.low < 0 < alike.high
    assert apart.high < -0.3


def test_one_patient_alone_has_no_interval() -> None:
    estimate = with_interval(auroc, *drawn(20), ["p"] * 20)
    assert not np.isnan(estimate.value)
    assert np.isnan(estimate.low)
