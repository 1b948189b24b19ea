"""Contests of constructed probabilities: how good each side is, and where one of them fails, is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from clinical_mm.evaluation.metrics import Bootstrap
from clinical_mm.promotion.contest import Contest, Side

DIAGNOSES = ("pneumonia", "heart-failure", "pneumothorax")


def contest(
    cases: int = 300,
    *,
    champion: float = 1.5,
    challenger: float = 1.5,
    noise: float = 0.5,
    wrong_for: str | None = None,
    overconfident: float = 1.0,
    seed: int = 0,
    resamples: int = 400,
    explainers: Sequence[Mapping[str, object]] = (),
) -> Contest:
    """Two models of one skill each (how far cases with and without lie apart), alike but for ``noise`` in what they say.

    ``wrong_for``: the sex for which the challenger says the opposite; ``overconfident``: a factor on its log-odds.
    """
    draw = np.random.default_rng(seed)
    targets = (draw.random((cases, len(DIAGNOSES))) < 0.35).astype(float)
    shared = draw.normal(size=targets.shape)
    sexes = draw.choice(["F", "M"], cases)
    log_odds = []
    for skill in (champion, challenger):
        seen = skill * (2 * targets - 1) + shared + noise * draw.normal(size=targets.shape)
        log_odds.append(2 * skill * seen / (1 + noise**2) + np.log(0.35 / 0.65))  # calibrated: Bayes' own log-odds
    if wrong_for is not None:
        log_odds[1][sexes == wrong_for] *= -0.3
    return Contest(
        diagnoses=DIAGNOSES,
        targets=targets,
        champion=side(log_odds[0]),
        challenger=side(log_odds[1] * overconfident),
        groups={"sex": sexes.tolist()},
        bootstrap=Bootstrap([f"p{i // 2}" for i in range(cases)], resamples, seed),
        patients=(cases + 1) // 2,
        explainers=explainers,
    )


def side(log_odds: np.ndarray) -> Side:
    """What a model of these log-odds says."""
    probabilities = 1 / (1 + np.exp(-log_odds))
    return Side(probabilities, (probabilities >= 0.5).astype(float))
