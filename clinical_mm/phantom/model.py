"""Conditions, findings and symptoms of the phantom, and how likely each is given the others.

Everything discrete of the generative model is here as tables over its 2^7 states, so that drawing a case and judging
one (posterior.py) cannot disagree.
Shapes: S states, C conditions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np

DIAGNOSES = ("pneumonia", "pleural-effusion", "pneumothorax", "heart-failure", "atelectasis")
"""Catalogue codes: the conditions that are asked for."""
CONDITIONS = (*DIAGNOSES, "other-infection", "renal-impairment")
"""The last two are in no label: they give fever without a chest finding, and a high NT-proBNP without a weak heart."""
STATES = np.array(list(product((False, True), repeat=len(CONDITIONS))))
"""``bool[S, C]``: every combination of conditions."""

MEAN_AGE, AGE_DEVIATION, YOUNGEST, OLDEST = 62.0, 16.0, 18, 98


@dataclass(frozen=True)
class Cause:
    """A noisy-or: without any cause it is there with probability ``leak``; each cause brings it with its own."""

    leak: float
    causes: Mapping[str, float]

    def given_states(self) -> np.ndarray:
        """P(there | state) as ``float[S]``."""
        absent = np.full(len(STATES), 1 - self.leak)
        for name, probability in self.causes.items():
            absent *= np.where(STATES[:, CONDITIONS.index(name)], 1 - probability, 1.0)
        return np.asarray(1 - absent)


FINDINGS: dict[str, Cause] = {
    # One and the same opacity: only fever, cough or an operation tell what it means.
    "opacity": Cause(0.03, {"pneumonia": 0.9, "atelectasis": 0.9}),
    "fluid": Cause(0.02, {"pleural-effusion": 0.9}),
    "large-heart": Cause(0.05, {"heart-failure": 0.88, "renal-impairment": 0.2}),
    "air": Cause(0.01, {"pneumothorax": 0.88}),
}
"""What a film can show."""

SYMPTOMS: dict[str, Cause] = {
    "fever": Cause(0.04, {"pneumonia": 0.85, "other-infection": 0.85}),
    "cough": Cause(0.1, {"pneumonia": 0.75, "atelectasis": 0.2, "heart-failure": 0.2}),
    "immobility": Cause(0.06, {"atelectasis": 0.8}),
    "urinary": Cause(0.04, {"other-infection": 0.7}),
    "congestion": Cause(0.06, {"heart-failure": 0.85, "renal-impairment": 0.3}),
    "dullness": Cause(0.04, {"pleural-effusion": 0.8}),
    "sudden-pain": Cause(0.05, {"pneumothorax": 0.85}),
}
"""What a note can tell."""

TOLD = ("affirmed", "uncertain", "denied", "silent")
TOLD_IF_THERE, TOLD_IF_NOT = (0.8, 0.1, 0.0, 0.1), (0.0, 0.04, 0.4, 0.56)
"""Probability of each way of telling, given that the symptom is there or is not."""


def prior(age: float, male: bool) -> np.ndarray:
    """P(state | age in years, sex) as ``float[S]``; effusion depends on the other conditions, the rest on none."""
    older = age - MEAN_AGE
    alone: dict[str, float] = {
        "pneumonia": float(_sigmoid(-0.75 + 0.01 * older)),
        "pneumothorax": float(_sigmoid(-2.1 - 0.02 * older + 0.5 * male)),
        "heart-failure": float(_sigmoid(-1.1 + 0.035 * older)),
        "atelectasis": 0.24,
        "other-infection": 0.35,
        "renal-impairment": float(_sigmoid(-2.0 + 0.04 * older)),
    }
    has = {name: STATES[:, column] for column, name in enumerate(CONDITIONS)}
    probability = np.ones(len(STATES))
    for name, share in alone.items():
        probability *= np.where(has[name], share, 1 - share)
    effusion = _sigmoid(-2.3 + 2.3 * has["heart-failure"] + 0.9 * has["pneumonia"] + 0.6 * has["renal-impairment"])
    return np.asarray(probability * np.where(has["pleural-effusion"], effusion, 1 - effusion))


@lru_cache
def population_prior() -> np.ndarray:
    """P(state) of someone of unknown age and sex, as ``float[S]``: the mean over both sexes and every year of age."""
    ages = np.arange(YOUNGEST, OLDEST + 1)
    weights = np.exp(-0.5 * ((ages + 0.5 - MEAN_AGE) / AGE_DEVIATION) ** 2)
    priors = np.array([(prior(float(a), male=False) + prior(float(a), male=True)) / 2 for a in ages])
    return np.asarray(weights @ priors / weights.sum())


@lru_cache
def finding_table() -> np.ndarray:
    """P(finding drawn | state) as ``float[F, S]``, rows as FINDINGS."""
    return np.stack([cause.given_states() for cause in FINDINGS.values()])


@lru_cache
def telling_table() -> np.ndarray:
    """P(way of telling | state) as ``float[T, 4, S]``, rows as SYMPTOMS, columns as TOLD."""
    there = np.stack([cause.given_states() for cause in SYMPTOMS.values()])[:, None, :]
    yes, no = (np.array(way)[None, :, None] for way in (TOLD_IF_THERE, TOLD_IF_NOT))
    return np.asarray(there * yes + (1 - there) * no)


def _sigmoid(value: float | np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.asarray(value, dtype=float))))
