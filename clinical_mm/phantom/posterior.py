"""The Bayes posterior p(diagnosis | what the present modalities show), by summing over all states: exact.

Exact for note and vitals, up to the rounding of values and of age to years. For the image it takes the findings as
drawn: whoever reads pixels can at best read those, so for an image it is an upper bound on what any model can know.
Shapes: S states, K diagnoses, V vitals.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import factorial
from typing import TypeVar

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from clinical_mm.phantom.measurements import (
    DISTRIBUTIONS,
    NAMES,
    covariance,
    measured_table,
    state_shifts,
    transformed,
    usual,
)
from clinical_mm.phantom.model import (
    DIAGNOSES,
    FINDINGS,
    STATES,
    SYMPTOMS,
    TOLD,
    finding_table,
    population_prior,
    prior,
    telling_table,
)

T = TypeVar("T")

MODALITIES = ("imaging", "text", "vitals")


@dataclass(frozen=True)
class Evidence:
    """What each modality of one case shows; None where the modality is absent.

    Attributes:
        age, male: told by note and by vitals, not by the image.
        findings: finding -> whether it was drawn; what is left out is not known.
        told: symptom -> how the note tells of it, one of ``TOLD``; what is left out is not known.
        vitals: catalogue name -> value, of those measured.
    """

    age: float
    male: bool
    findings: Mapping[str, bool] | None
    told: Mapping[str, str] | None
    vitals: Mapping[str, float] | None

    @property
    def present(self) -> tuple[str, ...]:
        """Names of the modalities that are there."""
        there = zip(MODALITIES, (self.findings, self.told, self.vitals), strict=True)
        return tuple(name for name, shown in there if shown is not None)


def posterior(evidence: Evidence, modalities: Collection[str] = MODALITIES) -> np.ndarray:
    """P(diagnosis | evidence of these modalities) as ``float[K]``; absent ones say nothing."""
    used = set(modalities) & set(evidence.present)
    log_p = np.log(prior(evidence.age, evidence.male) if used & {"text", "vitals"} else population_prior())
    if evidence.findings is not None and "imaging" in used:
        log_p = log_p + _log_likelihood_of_findings(evidence.findings)
    if evidence.told is not None and "text" in used:
        log_p = log_p + _log_likelihood_of_note(evidence.told)
    if evidence.vitals is not None and "vitals" in used:
        log_p = log_p + _log_likelihood_of_vitals(evidence.vitals, evidence.age, evidence.male)
    p = np.exp(log_p - log_p.max())
    return np.asarray(p / p.sum() @ STATES[:, : len(DIAGNOSES)])


def log_likelihood_ratios(evidence: Evidence, code: str) -> dict[str, float]:
    """Ratio ln p(value | diagnosis) - ln p(value | none) of each measured vital by itself, given age and sex alone."""
    has = STATES[:, DIAGNOSES.index(code)]
    p_state = prior(evidence.age, evidence.male)
    with_it, without = p_state * has / p_state[has].sum(), p_state * ~has / p_state[~has].sum()
    expected, ratios = usual(evidence.age, evidence.male), {}
    for name, value in (evidence.vitals or {}).items():
        column = NAMES.index(name)
        off = transformed(name, value) - expected[column] - state_shifts()[:, column]
        density = np.exp(-0.5 * (off / DISTRIBUTIONS[name].deviation) ** 2)
        ratios[name] = float(np.log((with_it @ density + 1e-300) / (without @ density + 1e-300)))
    return ratios


def lost_without(evidence: Evidence, code: str) -> dict[str, float]:
    """Log-odds of a diagnosis that each drawn finding and each symptom told of adds: what is lost by not knowing it."""
    findings, told = evidence.findings or {}, evidence.told or {}
    less = {name: replace(evidence, findings=_but(findings, name)) for name, drawn in findings.items() if drawn}
    less |= {name: replace(evidence, told=_but(told, name)) for name, way in told.items() if way != "silent"}
    whole = _log_odds(evidence, code)
    return {name: whole - _log_odds(part, code) for name, part in less.items()}


def shares(evidence: Evidence, code: str) -> dict[str, float]:
    """Exact Shapley value, in log-odds of a diagnosis, of each modality that is present."""
    worth = {s: _log_odds(evidence, code, s) for s in _subsets(evidence.present)}
    count = len(evidence.present)
    found = dict.fromkeys(evidence.present, 0.0)
    for name in found:
        for subset in (s for s in worth if name not in s):
            weight = factorial(len(subset)) * factorial(count - len(subset) - 1) / factorial(count)
            found[name] += weight * (worth[subset | {name}] - worth[subset])
    return found


def _subsets(names: Sequence[str]) -> Iterator[frozenset[str]]:
    return (frozenset(s) for size in range(len(names) + 1) for s in combinations(names, size))


def _log_odds(evidence: Evidence, code: str, modalities: Collection[str] = MODALITIES) -> float:
    p = float(posterior(evidence, modalities)[DIAGNOSES.index(code)])
    return float(np.log(max(p, 1e-12) / max(1 - p, 1e-12)))


def _but(known: Mapping[str, T], name: str) -> dict[str, T]:
    return {key: value for key, value in known.items() if key != name}


def _log_likelihood_of_findings(findings: Mapping[str, bool]) -> np.ndarray:
    known = [name in findings for name in FINDINGS]
    drawn = np.array([findings[name] for name in FINDINGS if name in findings])[:, None]
    table = finding_table()[known]
    return np.asarray(np.log(np.where(drawn, table, 1 - table)).sum(0))


def _log_likelihood_of_note(told: Mapping[str, str]) -> np.ndarray:
    known = [row for row, name in enumerate(SYMPTOMS) if name in told]
    ways = [TOLD.index(told[name]) for name in SYMPTOMS if name in told]
    return np.asarray(np.log(telling_table()[known, ways]).sum(0))


def _log_likelihood_of_vitals(vitals: Mapping[str, float], age: float, male: bool) -> np.ndarray:
    """The normal's marginal over what was measured, and the probability that just that was measured."""
    measured = np.array([name in vitals for name in NAMES])
    table = measured_table()
    of_pattern = np.log(np.where(measured, table, 1 - table)).sum(1)
    if not measured.any():
        return np.asarray(of_pattern)
    values = np.array([transformed(name, vitals[name]) for name in NAMES if name in vitals])
    off_SV = values - usual(age, male)[measured] - state_shifts()[:, measured]
    factor = cho_factor(covariance()[np.ix_(measured, measured)])
    return np.asarray(of_pattern - 0.5 * (off_SV.T * cho_solve(factor, off_SV.T)).sum(0))
