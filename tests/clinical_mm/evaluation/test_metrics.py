"""Metrics agree with scikit-learn's, and their intervals mean something."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from clinical_mm.case import Case, Patient
from clinical_mm.errors import NotEnoughData
from clinical_mm.evaluation.metrics import auroc, brier, expected_calibration_error, macro, with_interval
from clinical_mm.evaluation.report import evaluate
from clinical_mm.phantom import draw
from clinical_mm.predictor import Predictor


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


def test_the_report_tells_each_diagnosis_with_its_interval(predictor: Predictor) -> None:
    report = evaluate(predictor, [d.case for d in draw(60, seed=5)])
    told = report.to_json()
    assert told["cases"] == told["patients"] == 60
    assert set(told["diagnoses"]) == set(predictor.diagnoses)
    assert told["macro_auroc"]["low"] <= told["macro_auroc"]["value"] <= told["macro_auroc"]["high"]
    assert all(code in report.to_text() for code in predictor.diagnoses)


def test_nothing_labelled_cannot_be_evaluated(predictor: Predictor) -> None:
    with pytest.raises(NotEnoughData, match="no labelled case"):
        evaluate(predictor, [Case(Patient("p"), note="Fever.")])
