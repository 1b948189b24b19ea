"""Vitals and laboratory values: v = mu + sigma z + sum of the present diagnoses' shifts; positive ones in log space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

MISSING_VITAL = 0.25


@dataclass(frozen=True)
class Distribution:
    """``mean`` and ``deviation`` without any diagnosis, ``shifts`` of the mean by diagnosis; ``log``: of ln(value)."""

    mean: float
    deviation: float
    shifts: Mapping[str, float] = field(default_factory=dict)
    log: bool = False
    low: float = 0.0
    high: float = 1e6
    digits: int = 0


DISTRIBUTIONS: dict[str, Distribution] = {
    "heart_rate": Distribution(78, 11, {"pneumonia": 16, "heart-failure": 9, "pneumothorax": 14}, low=35, high=190),
    "respiratory_rate": Distribution(
        16, 2.5, {"pneumonia": 5, "heart-failure": 4, "pneumothorax": 6, "pleural-effusion": 2}, low=8, high=50
    ),
    "spo2": Distribution(
        97,
        1.5,
        {"pneumonia": -4, "heart-failure": -3, "pneumothorax": -3.5, "pleural-effusion": -1.5},
        low=60,
        high=100,
    ),
    "temperature": Distribution(36.8, 0.35, {"pneumonia": 1.4}, low=34, high=41.5, digits=1),
    "systolic_bp": Distribution(132, 15, {"heart-failure": 12, "pneumothorax": -14}, low=70, high=230),
    "diastolic_bp": Distribution(78, 9, {"heart-failure": 6, "pneumothorax": -7}, low=35, high=140),
    "wbc": Distribution(1.95, 0.25, {"pneumonia": 0.6}, log=True, low=0.5, high=60, digits=1),
    "crp": Distribution(1.2, 0.8, {"pneumonia": 3.0, "pleural-effusion": 0.5}, log=True, low=0.1, high=600, digits=1),
    "procalcitonin": Distribution(-2.8, 0.7, {"pneumonia": 2.2}, log=True, low=0.01, high=100, digits=2),
    "nt_probnp": Distribution(4.9, 0.8, {"heart-failure": 2.9}, log=True, low=5, high=70000),
    "creatinine": Distribution(-0.1, 0.22, {"heart-failure": 0.25}, log=True, low=0.3, high=12, digits=2),
    "haemoglobin": Distribution(13.6, 1.4, low=6, high=19, digits=1),
    "sodium": Distribution(139.5, 2.6, {"heart-failure": -2, "pneumonia": -1.5}, low=115, high=160),
    "lactate": Distribution(0.15, 0.3, {"pneumonia": 0.35, "pneumothorax": 0.2}, log=True, low=0.3, high=15, digits=1),
}


def draw_vitals(rng: np.random.Generator, present: tuple[str, ...]) -> dict[str, float]:
    """Values by catalogue name, in the catalogue's units, some missing."""
    drawn = {}
    for name, d in DISTRIBUTIONS.items():
        value = rng.normal(d.mean + sum(d.shifts.get(code, 0.0) for code in present), d.deviation)
        missing = rng.random() < MISSING_VITAL
        value = float(np.clip(np.exp(value) if d.log else value, d.low, d.high))
        if not missing:
            drawn[name] = round(value, d.digits)
    return drawn


def log_likelihood_ratios(code: str, vitals: Mapping[str, float]) -> dict[str, float]:
    """The log ratio ln p(value | diagnosis) - ln p(value | none) of each vital, the other diagnoses absent."""
    ratios = {}
    for name, value in vitals.items():
        d = DISTRIBUTIONS[name]
        z = ((np.log(value) if d.log else value) - d.mean) / d.deviation
        shift = d.shifts.get(code, 0.0) / d.deviation
        ratios[name] = float(z * shift - shift**2 / 2)
    return ratios
