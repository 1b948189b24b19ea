"""Calibrated probabilities and prediction sets, both fitted on the validation part.

Temperature scaling: one scalar T on the logits (Guo et al., 2017). Prediction sets: split conformal prediction - for
exclusive diagnoses the score 1 - p(true) (Sadinle et al., 2019), for co-occurring ones a threshold for each diagnosis
that a share ``coverage`` of its cases reaches.
Shapes: N cases, K diagnoses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clinical_mm.errors import InvalidBundle


@dataclass(frozen=True)
class Calibration:
    """How logits become probabilities and sets.

    Attributes:
        kind: ``exclusive`` or ``co-occurring``.
        temperature: T > 0; probabilities come from logits / T.
        thresholds: a probability for each diagnosis; it is in the set when its own is at least that.
        coverage: share of cases whose true diagnoses the set is meant to hold.
    """

    kind: str
    temperature: float
    thresholds: tuple[float, ...]
    coverage: float

    def log_odds(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated log-odds[N, K] = ln p / (1 - p)."""
        scaled = np.asarray(logits, dtype=np.float64) / self.temperature
        if self.kind == "co-occurring":
            return scaled
        others = np.stack([_log_sum_exp(np.delete(scaled, k, axis=1)) for k in range(scaled.shape[1])], axis=1)
        return np.asarray(scaled - others)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Probabilities[N, K]; exclusive ones sum to 1."""
        if self.kind == "co-occurring":
            return np.asarray(1 / (1 + np.exp(-np.clip(self.log_odds(logits), -500, 500))))
        scaled = np.asarray(logits, dtype=np.float64) / self.temperature
        return np.asarray(np.exp(scaled - _log_sum_exp(scaled)[:, None]))

    def prediction_set(self, probabilities: np.ndarray) -> list[int]:
        """Positions of the diagnoses in the set of one case (``probabilities[K]``), most probable first."""
        inside = [k for k, threshold in enumerate(self.thresholds) if probabilities[k] >= threshold]
        if self.kind == "exclusive" and not inside:
            inside = [int(np.argmax(probabilities))]
        return sorted(inside, key=lambda k: -probabilities[k])

    def to_json(self) -> dict[str, Any]:
        """Plain data for the bundle."""
        return {
            "kind": self.kind,
            "temperature": self.temperature,
            "thresholds": list(self.thresholds),
            "coverage": self.coverage,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Calibration:
        """Take back what ``to_json`` gave; raises InvalidBundle."""
        try:
            return cls(
                str(data["kind"]),
                float(data["temperature"]),
                tuple(float(t) for t in data["thresholds"]),
                float(data["coverage"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidBundle(f"the calibration is not readable: {error}") from error


def fit_calibration(logits: np.ndarray, targets: np.ndarray, kind: str, coverage: float) -> Calibration:
    """Fit on ``logits[N, K]`` and 0/1 ``targets[N, K]`` of the validation part."""
    identity = Calibration(kind, 1.0, (0.5,) * targets.shape[1], coverage)
    if len(logits) == 0:
        return identity
    temperature = _fit_temperature(logits, targets, kind)
    scaled = Calibration(kind, temperature, identity.thresholds, coverage)
    thresholds = _fit_thresholds(scaled.probabilities(logits), targets, kind, coverage)
    return Calibration(kind, temperature, thresholds, coverage)


def _fit_temperature(logits: np.ndarray, targets: np.ndarray, kind: str) -> float:
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        trial = Calibration(kind, float(np.exp(log_temperature)), (0.5,) * targets.shape[1], 0.9)
        p = np.clip(trial.probabilities(logits), 1e-9, 1 - 1e-9)
        per_case = targets * np.log(p)
        if kind == "co-occurring":
            per_case = per_case + (1 - targets) * np.log(1 - p)
        # A weak pull to 1 keeps a handful of cases, all answered rightly, from claiming certainty.
        return float(-per_case.sum() + 0.5 * log_temperature**2)

    found = minimize_scalar(loss, bounds=(-2.5, 2.5), method="bounded")
    return float(np.exp(found.x))


def _fit_thresholds(p: np.ndarray, targets: np.ndarray, kind: str, coverage: float) -> tuple[float, ...]:
    of_true = p[targets.astype(bool)]
    pooled = _lower_quantile(of_true, coverage)
    if kind == "exclusive":
        return tuple([pooled] * targets.shape[1])
    # So few cases of a diagnosis that no threshold of its own can promise the coverage: all diagnoses' together does.
    own = [_lower_quantile(p[targets[:, k].astype(bool), k], coverage) for k in range(p.shape[1])]
    thresholds: tuple[float, ...] = tuple(threshold or pooled for threshold in own)
    return thresholds


def _lower_quantile(values: np.ndarray, coverage: float) -> float:
    """The value that a share ``coverage`` of future exchangeable ones reaches: rank floor((n + 1)(1 - coverage)).

    0 where there are too few values to promise it.
    """
    rank = int(np.floor((len(values) + 1) * (1 - coverage)))
    return float(np.sort(values)[rank - 1]) if rank >= 1 else 0.0


def _log_sum_exp(values: np.ndarray) -> np.ndarray:
    top = values.max(axis=1)
    return np.asarray(top + np.log(np.exp(values - top[:, None]).sum(axis=1)))


def targets_of(labels: Sequence[Sequence[str]], diagnoses: Sequence[str]) -> np.ndarray:
    """0/1 ``float32[N, K]`` from each case's diagnosis codes."""
    table = [[float(code in found) for code in diagnoses] for found in labels]
    return np.array(table, dtype=np.float32).reshape(len(labels), len(diagnoses))
