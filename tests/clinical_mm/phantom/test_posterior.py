"""The Bayes posterior: calibrated against the very cases, better with more evidence, and nothing one modality can know."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from clinical_mm.evaluation.metrics import auroc
from clinical_mm.phantom import DIAGNOSES, Evidence, PhantomCase, posterior
from clinical_mm.phantom.measurements import DISTRIBUTIONS, covariance, draw_vitals, transformed
from clinical_mm.phantom.model import CONDITIONS, FINDINGS, STATES, SYMPTOMS, TOLD, finding_table, prior, telling_table

SUBSETS = [s for size in (1, 2, 3) for s in combinations(("imaging", "text", "vitals"), size)]
CLEAR = dict.fromkeys(FINDINGS, False)
WELL = {"temperature": 36.7, "crp": 2.0, "wbc": 6.5}
FEVERISH = {"temperature": 38.6, "crp": 60.0, "wbc": 13.0}


@pytest.fixture
def labels(drawn: list[PhantomCase]) -> np.ndarray:
    return np.array([[code in (d.case.diagnoses or ()) for code in DIAGNOSES] for d in drawn])


@pytest.mark.slow
@pytest.mark.parametrize("subset", SUBSETS, ids="+".join)
def test_among_cases_given_a_probability_that_share_has_the_diagnosis(
    subset: tuple[str, ...], drawn: list[PhantomCase], labels: np.ndarray
) -> None:
    p = np.array([posterior(d.truth.evidence, subset) for d in drawn])
    for low in np.arange(0, 1, 0.2):
        inside = (p >= low) & (p < low + 0.2)
        if inside.sum() > 100:
            error = np.sqrt(p[inside].mean() * (1 - p[inside].mean()) / inside.sum())
            assert labels[inside].mean() == pytest.approx(p[inside].mean(), abs=4 * error)


def test_more_modalities_tell_more(drawn: list[PhantomCase], labels: np.ndarray) -> None:
    whole = [i for i, d in enumerate(drawn) if len(d.truth.evidence.present) == 3]

    def mean_auroc(subset: tuple[str, ...]) -> float:
        p = np.array([posterior(drawn[i].truth.evidence, subset) for i in whole])
        return float(np.mean([auroc(labels[whole][:, k], p[:, k]) for k in range(len(DIAGNOSES))]))

    scores = {subset: mean_auroc(subset) for subset in SUBSETS}
    for subset in SUBSETS:
        for part in combinations(subset, len(subset) - 1):
            assert not part or scores[subset] > scores[part]
    assert scores["imaging", "text", "vitals"] > 0.96 > 0.92 > max(scores[s] for s in SUBSETS if len(s) == 1)


def test_one_opacity_means_pneumonia_with_fever_and_atelectasis_without() -> None:
    def seen(vitals: dict[str, float]) -> dict[str, float]:
        evidence = Evidence(62, True, {**CLEAR, "opacity": True}, None, vitals)
        return dict(zip(DIAGNOSES, posterior(evidence), strict=True))

    hot, cool = seen(FEVERISH), seen(WELL)
    assert hot["pneumonia"] > 0.85 > 0.3 > cool["pneumonia"]
    assert cool["atelectasis"] > 0.75 > 0.35 > hot["atelectasis"]


def test_an_image_tells_neither_age_nor_sex() -> None:
    young = Evidence(20, False, CLEAR, None, None)
    assert posterior(young) == pytest.approx(posterior(replace(young, age=90, male=True)))


def test_the_sum_over_states_is_what_counting_cases_finds() -> None:
    """Rejection sampling for a man of 62 with an opacity who is said to be febrile."""
    rng = np.random.default_rng(5)
    states = rng.choice(len(STATES), p=prior(62, male=True), size=200_000)
    opacity = rng.random(len(states)) < finding_table()[list(FINDINGS).index("opacity"), states]
    row = telling_table()[list(SYMPTOMS).index("fever"), TOLD.index("affirmed"), states]
    alike = states[opacity & (rng.random(len(states)) < row)]
    counted = STATES[alike].mean(0)[CONDITIONS.index("pneumonia")]
    # Every other finding and symptom is integrated out by giving its probability the weight of all its outcomes.
    rest = prior(62, male=True) * finding_table()[list(FINDINGS).index("opacity")]
    rest = rest * telling_table()[list(SYMPTOMS).index("fever"), TOLD.index("affirmed")]
    exact = (rest / rest.sum() @ STATES)[CONDITIONS.index("pneumonia")]
    assert counted == pytest.approx(exact, abs=0.01)


def test_vitals_have_the_stated_means_and_correlations() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_vitals(rng, 0, 62, male=False) for _ in range(4000)]
    both = np.array(
        [[transformed(n, d[n]) for n in ("temperature", "crp")] for d in drawn if "crp" in d and "temperature" in d]
    )
    names = list(DISTRIBUTIONS)
    deviations = np.sqrt(np.diag(covariance()))
    wanted = covariance()[names.index("temperature"), names.index("crp")]
    wanted /= deviations[names.index("temperature")] * deviations[names.index("crp")]
    assert np.corrcoef(both.T)[0, 1] == pytest.approx(wanted, abs=0.05)
    assert both.mean(0) == pytest.approx([36.8, 1.2], abs=0.05)


def test_a_vital_speaks_for_a_diagnosis_that_shifts_it(drawn: list[PhantomCase]) -> None:
    told = [(d.case.diagnoses or (), d.truth.vitals["pneumonia"]["crp"]) for d in drawn if "crp" in d.case.vitals]
    assert np.mean([r for codes, r in told if "pneumonia" in codes]) > 0
    assert np.mean([r for codes, r in told if codes == ()]) < 0
