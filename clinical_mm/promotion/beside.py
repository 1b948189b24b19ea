"""A challenger beside the champion on live cases: how far apart they are, and whom the reviewers' labels bear out.

Shapes: N cases, K diagnoses that both models know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from clinical_mm.evaluation.calibration import targets_of
from clinical_mm.evaluation.metrics import Bootstrap, Estimate, auroc, log_loss, macro
from clinical_mm.promotion.contest import RESAMPLES, SEED, Contest, Side
from clinical_mm.promotion.gains import Gain, gain

METRICS = {"macro_auroc": macro(auroc), "log_loss": log_loss}
MOST_APART = 10
PARTS = 10


@dataclass(frozen=True)
class Pair:
    """What both said of one case: calibrated probabilities by diagnosis.

    ``label``: what a reviewer found; None where nobody has said, or where it must not judge.
    """

    case: str
    patient: str
    champion: Mapping[str, float]
    challenger: Mapping[str, float]
    label: Sequence[str] | None = None


@dataclass(frozen=True)
class Distance:
    """How far apart the two are on one diagnosis.

    Attributes:
        mean_absolute, shift: mean of abs(challenger - champion), and of challenger - champion.
        correlation: Pearson's r; NaN where one of them always says the same.
        joint: ``int[10, 10]``, how many cases have the champion's probability in a tenth (row) and the challenger's
            (column).
    """

    code: str
    mean_absolute: float
    shift: float
    correlation: float
    joint: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """Plain data; what is not defined is null."""
        numbers = {"mean_absolute": self.mean_absolute, "shift": self.shift, "correlation": self.correlation}
        told = {key: None if np.isnan(value) else round(value, 4) for key, value in numbers.items()}
        return {"code": self.code, **told, "joint": self.joint.tolist()}


@dataclass(frozen=True)
class Apart:
    """A case on which the two differ much: the diagnosis with the largest difference, and both probabilities."""

    case: str
    code: str
    champion: float
    challenger: float


@dataclass(frozen=True)
class Trial:
    """Both judged by reviewers' labels; ``gains`` by the name of the metric."""

    cases: int
    patients: int
    gains: Mapping[str, Gain]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        counts = {"cases": self.cases, "patients": self.patients, "resamples": RESAMPLES, "seed": SEED}
        return {**counts, "gains": {name: one.to_json() for name, one in self.gains.items()}}


@dataclass(frozen=True)
class Beside:
    """The whole comparison.

    Attributes:
        agreement: share of cases where both hold the same diagnosis most probable; Wilson's interval.
        most_apart: the most differing first.
        trial: None where no case has a label.
    """

    cases: int
    agreement: Estimate
    distances: tuple[Distance, ...]
    most_apart: tuple[Apart, ...]
    trial: Trial | None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "cases": self.cases,
            "agreement": self.agreement.to_json(),
            "diagnoses": [one.to_json() for one in self.distances],
            "most_apart": [asdict(one) for one in self.most_apart],
            "judged": None if self.trial is None else self.trial.to_json(),
        }


def beside(pairs: Sequence[Pair]) -> Beside:
    """Compare two models by what each said of the same cases, on the diagnoses that both know."""
    codes = _shared(pairs)
    old_NK, new_NK = _table([pair.champion for pair in pairs], codes), _table([p.challenger for p in pairs], codes)
    labelled = [row for row, pair in enumerate(pairs) if pair.label is not None]
    return Beside(
        cases=len(pairs),
        agreement=_agreement(old_NK, new_NK),
        distances=tuple(_distance(code, old_NK[:, k], new_NK[:, k]) for k, code in enumerate(codes)),
        most_apart=_most_apart(pairs, codes, old_NK, new_NK),
        trial=_trial([pairs[row] for row in labelled], codes, old_NK[labelled], new_NK[labelled]),
    )


def _shared(pairs: Sequence[Pair]) -> list[str]:
    known = [pair.champion.keys() & pair.challenger.keys() for pair in pairs]
    return sorted(set.intersection(*known)) if known else []


def _table(said: Sequence[Mapping[str, float]], codes: Sequence[str]) -> np.ndarray:
    return np.array([[one[code] for code in codes] for one in said], float).reshape(len(said), len(codes))


def _agreement(old_NK: np.ndarray, new_NK: np.ndarray) -> Estimate:
    """Wilson's interval leaves room for a difference where all the few cases agree, as a bootstrap would not."""
    from scipy.stats import binomtest

    if not old_NK.size:
        return Estimate(float("nan"), float("nan"), float("nan"))
    same = int((old_NK.argmax(1) == new_NK.argmax(1)).sum())
    interval = binomtest(same, len(old_NK)).proportion_ci(method="wilson")
    return Estimate(same / len(old_NK), float(interval.low), float(interval.high))


def _distance(code: str, old_N: np.ndarray, new_N: np.ndarray) -> Distance:
    apart_N = new_N - old_N
    varies = np.ptp(old_N) > 0 and np.ptp(new_N) > 0
    correlation = float(np.corrcoef(old_N, new_N)[0, 1]) if varies else float("nan")
    joint, _, _ = np.histogram2d(old_N, new_N, bins=PARTS, range=[[0, 1], [0, 1]])
    return Distance(code, float(np.abs(apart_N).mean()), float(apart_N.mean()), correlation, joint.astype(int))


def _most_apart(
    pairs: Sequence[Pair], codes: Sequence[str], old_NK: np.ndarray, new_NK: np.ndarray
) -> tuple[Apart, ...]:
    if not old_NK.size:
        return ()
    apart_NK = np.abs(new_NK - old_NK)
    order = np.argsort(-apart_NK.max(1), kind="stable")[:MOST_APART]
    places = [(int(row), int(apart_NK[row].argmax())) for row in order]
    return tuple(
        Apart(pairs[row].case, codes[k], float(old_NK[row, k]), float(new_NK[row, k]))
        for row, k in places
        if apart_NK[row, k] > 0
    )


def _trial(pairs: Sequence[Pair], codes: Sequence[str], old_NK: np.ndarray, new_NK: np.ndarray) -> Trial | None:
    if not pairs or not codes:
        return None
    patients = [pair.patient for pair in pairs]
    contest = Contest(
        diagnoses=tuple(codes),
        targets=targets_of([pair.label or () for pair in pairs], codes),
        champion=_side(old_NK),
        challenger=_side(new_NK),
        groups={},
        bootstrap=Bootstrap(patients, RESAMPLES, SEED),
        patients=len(set(patients)),
    )
    gains = {name: gain(contest, metric) for name, metric in METRICS.items()}
    return Trial(contest.cases, contest.patients, gains)


def _side(probabilities: np.ndarray) -> Side:
    return Side(probabilities, (probabilities >= 0.5).astype(float))
