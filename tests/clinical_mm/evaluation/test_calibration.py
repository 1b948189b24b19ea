"""Calibration: temperature, and prediction sets that hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from clinical_mm.errors import InvalidBundle
from clinical_mm.evaluation.calibration import Calibration, fit_calibration


def simulated(count: int, seed: int, kind: str, over: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels drawn from them; ``over``: how many times too sure the logits are."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (count, 3))
    if kind == "co-occurring":
        return logits * over, (rng.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    drawn = [rng.choice(3, p=row) for row in p]
    return logits * over, np.eye(3, dtype=np.float32)[drawn]


@pytest.mark.parametrize("kind", ["exclusive", "co-occurring"])
def test_overconfident_logits_get_their_temperature_back(kind: str) -> None:
    fitted = fit_calibration(*simulated(3000, 0, kind, over=3.0), kind, 0.9)
    assert fitted.temperature == pytest.approx(3.0, rel=0.15)


@pytest.mark.parametrize("kind", ["exclusive", "co-occurring"])
def test_sets_hold_the_true_diagnosis_as_often_as_promised(kind: str) -> None:
    fitted = fit_calibration(*simulated(1500, 1, kind), kind, 0.9)
    logits, targets = simulated(3000, 2, kind)
    p = fitted.probabilities(logits)
    held = [k in fitted.prediction_set(row) for row, t in zip(p, targets, strict=True) for k in np.nonzero(t)[0]]
    assert 0.87 <= np.mean(held) <= 0.93


def test_exclusive_probabilities_sum_to_one_and_agree_with_their_log_odds() -> None:
    calibration = Calibration("exclusive", 1.7, (0.1,) * 3, 0.9)
    logits = np.array([[2.0, -1.0, 0.3], [0.0, 0.0, 0.0]])
    p = calibration.probabilities(logits)
    assert p.sum(1) == pytest.approx([1, 1])
    assert 1 / (1 + np.exp(-calibration.log_odds(logits))) == pytest.approx(p)


def test_an_exclusive_set_is_never_empty() -> None:
    assert Calibration("exclusive", 1.0, (0.9, 0.9), 0.9).prediction_set(np.array([0.6, 0.4])) == [0]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_handful_of_cases_claims_nothing_wild(count: int) -> None:
    logits, targets = simulated(count, 0, "co-occurring")
    fitted = fit_calibration(logits, targets, "co-occurring", 0.9)
    assert 0.1 <= fitted.temperature <= 10
    assert len(fitted.thresholds) == 3


def test_it_survives_the_bundle_and_refuses_what_it_cannot_read() -> None:
    calibration = Calibration("co-occurring", 1.3, (0.2, 0.4), 0.9)
    assert Calibration.from_json(calibration.to_json()) == calibration
    with pytest.raises(InvalidBundle):
        Calibration.from_json({"kind": "exclusive"})
