"""How well circumstances alone tell the diagnoses: what a model may have learned in place of medicine.

A linear model on the site, the device, the view, or on what is missing. It learns from the cases that taught the
model, or, where those are not at hand, from the judged ones out of fold, patients kept together. What it reaches above
one half is open to a model as a short cut; it says nothing about whether the model takes it.
Shapes: N cases, K diagnoses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clinical_mm.evaluation.judged import Judged
from clinical_mm.evaluation.metrics import Estimate, auroc, macro

FOLDS, FEWEST_CASES, FEWEST_OF_A_DIAGNOSIS = 5, 40, 5


@dataclass(frozen=True)
class Confounder:
    """What one circumstance tells of the diagnoses by itself."""

    name: str
    cases: int
    macro_auroc: Estimate

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"name": self.name, "cases": self.cases, "macro_auroc": self.macro_auroc.to_json()}


def confounders(judged: Judged, taught: Judged | None = None) -> list[Confounder]:
    """Each circumstance that differs between cases; none with fewer than 40 judged cases."""
    counts = judged.targets.sum(0)
    common = (counts >= FEWEST_OF_A_DIAGNOSIS) & (len(judged.cases) - counts >= FEWEST_OF_A_DIAGNOSIS)
    if len(judged.cases) < FEWEST_CASES or not common.any() or len(set(judged.patients)) < FOLDS:
        return []
    parts = [judged] if taught is None else [judged, taught]
    targets = np.concatenate([p.targets for p in parts])[:, common]
    found = []
    for name, features in _circumstances(parts).items():
        if features.shape[1]:
            scores = _scores(features, targets, judged)
            estimate = judged.bootstrap.estimate(macro(auroc), targets[: len(judged.cases)], scores)
            found.append(Confounder(name, len(judged.cases), estimate))
    return found


def _circumstances(parts: Sequence[Judged]) -> dict[str, np.ndarray]:
    """``float[N, ...]`` of each circumstance, all parts one after the other; no column where all cases are alike."""

    def told(by: str) -> np.ndarray:
        return _one_hot([value for part in parts for value in part.groups[by]])

    return {
        "site": told("site"),
        "device": told("device"),
        "view": told("view"),
        "what is missing": _missing(parts),
        "sex and age band": np.concatenate([told("sex"), told("age")], axis=1),
    }


def _missing(parts: Sequence[Judged]) -> np.ndarray:
    """A column for each modality and each vital that some cases lack and others have."""
    vitals = [case.vitals for part in parts for case in part.cases]
    names = sorted({name for measured in vitals for name in measured})
    of_vitals = np.array([[name not in measured for name in names] for measured in vitals], float)
    of_modalities = np.concatenate([~part.present for part in parts]).astype(float)
    flags = np.concatenate([of_modalities, of_vitals.reshape(len(vitals), len(names))], axis=1)
    return np.asarray(flags[:, (flags.min(0) == 0) & (flags.max(0) == 1)])


def _one_hot(values: Sequence[str]) -> np.ndarray:
    names = sorted(set(values))
    if len(names) < 2:
        return np.zeros((len(values), 0))
    return np.array([[float(value == name) for name in names] for value in values])


def _scores(features: np.ndarray, targets: np.ndarray, judged: Judged) -> np.ndarray:
    """``float[N, K]`` of the judged cases, which come first in ``features`` and ``targets``."""
    from sklearn.linear_model import LogisticRegression

    scores = np.full((len(judged.cases), targets.shape[1]), 0.5)
    for teach, judge in _turns(len(features), judged):
        for k in range(targets.shape[1]):
            wanted = targets[teach, k]
            if 0 < wanted.sum() < len(wanted):
                # Balanced: else the share of a diagnosis among a fold's teachers, low where it is high among those
                # judged, would count against what tells nothing.
                model = LogisticRegression(class_weight="balanced", max_iter=1000).fit(features[teach], wanted)
                scores[judge, k] = model.predict_proba(features[judge])[:, 1]
    return scores


def _turns(count: int, judged: Judged) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Who teaches and who is judged: those that taught the model, then all others; or the judged in five folds."""
    from sklearn.model_selection import GroupKFold

    own = np.arange(len(judged.cases))
    if count > len(own):
        yield np.arange(len(own), count), own
    else:
        yield from GroupKFold(FOLDS).split(own, groups=judged.patients)
