"""Whether probabilities mean what they say: observed shares beside claimed ones, and other ways to calibrate.

Shapes: N cases, K diagnoses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from clinical_mm.evaluation.calibration import Calibration
from clinical_mm.evaluation.judged import Judged
from clinical_mm.evaluation.metrics import Estimate, expected_calibration_error
from clinical_mm.evaluation.weighted import BINS


@dataclass(frozen=True)
class ReliabilityBin:
    """All verdicts whose probability lies in one tenth: mean probability, share that came true.

    Its 95 % interval (Wilson) takes verdicts as independent.
    """

    claimed: float
    observed: Estimate
    count: int

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"claimed": round(self.claimed, 4), "observed": self.observed.to_json(), "count": self.count}


@dataclass(frozen=True)
class Reliability:
    """Expected calibration error without any calibration, and with isotonic regression in place of the temperature.

    ``isotonic`` is None where there was no validation part to fit it on.
    """

    uncalibrated: float
    isotonic: float | None
    temperature: float
    bins: tuple[ReliabilityBin, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "uncalibrated": round(self.uncalibrated, 4),
            "isotonic": None if self.isotonic is None else round(self.isotonic, 4),
            "temperature": round(self.temperature, 4),
            "bins": [b.to_json() for b in self.bins],
        }


def reliability(judged: Judged, chose: Judged | None) -> Reliability:
    """Judge the calibration; ``chose`` is the part that it was fitted on, for the comparison with isotonic."""
    p, targets = judged.probabilities, judged.targets
    plain = Calibration(judged.calibration.kind, 1.0, judged.calibration.thresholds, judged.calibration.coverage)
    other = None
    if chose is not None and len(chose.cases):
        other = expected_calibration_error(targets, _isotonic(chose, judged))
    return Reliability(
        uncalibrated=expected_calibration_error(targets, plain.probabilities(judged.logits)),
        isotonic=other,
        temperature=judged.calibration.temperature,
        bins=binned(p, targets),
    )


def binned(probabilities: np.ndarray, targets: np.ndarray) -> tuple[ReliabilityBin, ...]:
    """The verdicts of ``probabilities[N, K]`` on ``targets[N, K]``, a bin a tenth; empty tenths are left out."""
    from scipy.stats import binomtest

    claimed, came_true = probabilities.ravel(), targets.ravel()
    place = np.minimum((claimed * BINS).astype(int), BINS - 1)
    found = []
    for b in np.unique(place):
        inside = place == b
        true, count = int(came_true[inside].sum()), int(inside.sum())
        low, high = binomtest(true, count).proportion_ci(method="wilson")
        found.append(ReliabilityBin(float(claimed[inside].mean()), Estimate(true / count, low, high), count))
    return tuple(found)


def _isotonic(chose: Judged, judged: Judged) -> np.ndarray:
    """Probabilities ``[N, K]`` by a monotone step function a diagnosis; exclusive ones scaled to sum to 1."""
    from sklearn.isotonic import IsotonicRegression

    columns = []
    for k in range(judged.targets.shape[1]):
        step = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
        step.fit(chose.probabilities[:, k], chose.targets[:, k])
        columns.append(step.predict(judged.probabilities[:, k]))
    p = np.stack(columns, axis=1)
    if judged.calibration.kind == "exclusive":
        p = (p + 1e-6) / (p + 1e-6).sum(1, keepdims=True)
    return np.asarray(p)
