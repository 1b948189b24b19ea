"""Vitals and laboratory values: correlated normals in a transformed space, shifted by the conditions, age and sex.

    z = mu + age_slope (age - 62) / 10 + male_shift [male] + sum of the conditions' shifts + noise,  noise ~ N(0, D R D)
    value = z, exp(z) (skewed laboratory values) or 100 - exp(z) (saturation, which has a ceiling)

D holds the deviations; R = 1 - rho on the diagonal plus a shared factor, rho = 0.35 within the group of circulation and
breathing, 0.45 within inflammation, 0.15 between any two others.
A value is measured with a probability that depends on the state: NT-proBNP is asked for where the heart is suspected.
Shapes: S states, V vitals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import numpy as np

from clinical_mm.phantom.model import CONDITIONS, MEAN_AGE, STATES

Shape = Literal["plain", "log", "ceiling"]


@dataclass(frozen=True)
class Distribution:
    """One vital in the transformed space: mean and deviation of the healthy, and what moves the mean.

    Attributes:
        group: vitals of one group go up and down together.
        measured: probability that it is measured, and ``measured_if``: that probability where a condition holds.
    """

    mean: float
    deviation: float
    shifts: Mapping[str, float] = field(default_factory=dict)
    shape: Shape = "plain"
    age_slope: float = 0.0
    male_shift: float = 0.0
    group: str = ""
    measured: float = 0.92
    measured_if: Mapping[str, float] = field(default_factory=dict)
    low: float = 0.0
    high: float = 1e6
    digits: int = 0


_INFECTION = {"pneumonia": 0.7, "other-infection": 0.7}
DISTRIBUTIONS: dict[str, Distribution] = {
    "heart_rate": Distribution(
        76,
        11,
        {"pneumonia": 8, "other-infection": 8, "heart-failure": 5, "pneumothorax": 7},
        group="flow",
        low=35,
        high=190,
    ),
    "respiratory_rate": Distribution(
        15.5,
        2.3,
        {"pneumonia": 2, "heart-failure": 2, "pneumothorax": 2, "pleural-effusion": 1, "atelectasis": 1.2},
        group="flow",
        low=6,
        high=50,
    ),
    "spo2": Distribution(
        1.1,
        0.4,
        {"pneumonia": 0.4, "heart-failure": 0.3, "pneumothorax": 0.4, "pleural-effusion": 0.2, "atelectasis": 0.4},
        "ceiling",
        age_slope=0.03,
        group="flow",
        low=50,
        high=100,
    ),
    "temperature": Distribution(
        36.8, 0.35, {"pneumonia": 0.9, "other-infection": 0.9}, group="inflammation", low=34, high=41.8, digits=1
    ),
    "systolic_bp": Distribution(
        128, 14, {"heart-failure": 5, "pneumothorax": -7, "renal-impairment": 7}, age_slope=3, low=70, high=230
    ),
    "diastolic_bp": Distribution(
        77, 9, {"heart-failure": 3, "pneumothorax": -4, "renal-impairment": 4}, low=35, high=140
    ),
    "wbc": Distribution(
        1.95,
        0.25,
        {"pneumonia": 0.4, "other-infection": 0.4},
        "log",
        group="inflammation",
        measured=0.75,
        low=0.5,
        high=60,
        digits=1,
    ),
    "crp": Distribution(
        1.2,
        0.8,
        {"pneumonia": 2.0, "other-infection": 1.9, "pleural-effusion": 0.2},
        "log",
        group="inflammation",
        measured=0.75,
        low=0.1,
        high=600,
        digits=1,
    ),
    "procalcitonin": Distribution(
        -2.8,
        0.7,
        {"pneumonia": 1.3, "other-infection": 1.4},
        "log",
        group="inflammation",
        measured=0.5,
        measured_if=_INFECTION,
        low=0.01,
        high=100,
        digits=2,
    ),
    "nt_probnp": Distribution(
        4.9,
        0.8,
        {"heart-failure": 1.4, "renal-impairment": 1.3},
        "log",
        age_slope=0.15,
        measured=0.6,
        measured_if={"heart-failure": 0.8},
        low=5,
        high=200000,
    ),
    "creatinine": Distribution(
        -0.15,
        0.2,
        {"heart-failure": 0.1, "renal-impairment": 0.6},
        "log",
        age_slope=0.03,
        male_shift=0.2,
        measured=0.8,
        low=0.2,
        high=15,
        digits=2,
    ),
    "urea_nitrogen": Distribution(
        2.7, 0.3, {"renal-impairment": 0.5, "heart-failure": 0.1}, "log", age_slope=0.05, measured=0.7, low=3, high=200
    ),
    "haemoglobin": Distribution(
        13.2, 1.2, {"renal-impairment": -1.2}, male_shift=1.3, measured=0.8, low=5, high=20, digits=1
    ),
    "sodium": Distribution(139.5, 2.6, {"heart-failure": -1.5, "pneumonia": -0.8}, measured=0.8, low=115, high=160),
    "lactate": Distribution(
        0.15,
        0.3,
        {"pneumonia": 0.2, "other-infection": 0.2, "pneumothorax": 0.15},
        "log",
        measured=0.5,
        low=0.2,
        high=15,
        digits=1,
    ),
}
NAMES = tuple(DISTRIBUTIONS)
_ALL = tuple(DISTRIBUTIONS.values())
_WITHIN, _BETWEEN = {"flow": 0.35, "inflammation": 0.45}, 0.15


@lru_cache
def covariance() -> np.ndarray:
    """``float[V, V]`` of the noise, positive definite: every correlation comes from a shared factor."""
    correlation = np.full((len(NAMES), len(NAMES)), _BETWEEN)
    for i, one in enumerate(_ALL):
        for j, other in enumerate(_ALL):
            if one.group and one.group == other.group:
                correlation[i, j] = _WITHIN[one.group]
    np.fill_diagonal(correlation, 1.0)
    deviations = np.array([d.deviation for d in _ALL])
    return np.asarray(correlation * np.outer(deviations, deviations))


@lru_cache
def state_shifts() -> np.ndarray:
    """``float[S, V]``: what each state adds to the mean."""
    by_condition = np.array([[d.shifts.get(c, 0.0) for d in _ALL] for c in CONDITIONS])
    return np.asarray(STATES.astype(float) @ by_condition)


@lru_cache
def measured_table() -> np.ndarray:
    """P(measured | state) as ``float[S, V]``: the largest of what the state's conditions ask for."""
    table = np.empty((len(STATES), len(NAMES)))
    for column, d in enumerate(_ALL):
        asked = [np.where(STATES[:, CONDITIONS.index(c)], p, 0.0) for c, p in d.measured_if.items()]
        table[:, column] = np.max([np.full(len(STATES), d.measured), *asked], axis=0)
    return table


def usual(age: float, male: bool) -> np.ndarray:
    """Mean ``float[V]`` of the healthy of that age in years and sex."""
    return np.array([d.mean + d.age_slope * (age - MEAN_AGE) / 10 + d.male_shift * male for d in _ALL])


def transformed(name: str, value: float) -> float:
    """A value in the space where it is normal; the inverse of what ``draw_vitals`` does."""
    d = DISTRIBUTIONS[name]
    if d.shape == "plain":
        return value
    return float(np.log(max(value if d.shape == "log" else 100 - value, 10.0**-d.digits / 2)))


def draw_vitals(rng: np.random.Generator, state: int, age: float, male: bool) -> dict[str, float]:
    """Values by catalogue name, in the catalogue's units; those that are not measured are not in it."""
    z = rng.multivariate_normal(usual(age, male) + state_shifts()[state], covariance(), method="cholesky")
    measured = rng.random(len(NAMES)) < measured_table()[state]
    drawn = {}
    for name, d, value, there in zip(NAMES, _ALL, z, measured, strict=True):
        plain = {"plain": value, "log": np.exp(value), "ceiling": 100 - np.exp(value)}[d.shape]
        if there:
            drawn[name] = round(float(np.clip(plain, d.low, d.high)), d.digits)
    return drawn
