"""What a challenger must not lose: groups of patients, rare diagnoses, calibration, explanations.

A loss counts where it is larger than the margin and its interval leaves 0 out, so that small groups do not reject by
chance alone; over many groups or diagnoses the interval is widened (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from clinical_mm.evaluation.groups import UNKNOWN
from clinical_mm.evaluation.metrics import (
    Metric,
    brier,
    expected_calibration_error,
    sensitivity,
)
from clinical_mm.explaining import DEFAULT
from clinical_mm.promotion.contest import Contest
from clinical_mm.promotion.gains import Gain, gain
from clinical_mm.promotion.policy import Guardrails


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        guard: which guardrail it belongs to.
        about: the group, the diagnosis, or what is measured.
        cases: how many stand behind it; 0 where it is not about cases.
        gain: of both models, None where nothing is measured.
        said: what is wrong, in a sentence; empty where nothing is.
    """

    guard: str
    about: str
    cases: int
    gain: Gain | None
    said: str = ""

    @property
    def passed(self) -> bool:
        """Whether the guardrail holds."""
        return not self.said

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        told = asdict(self) | {"gain": None if self.gain is None else self.gain.to_json()}
        return {**told, "passed": self.passed}


def guard(contest: Contest, guardrails: Guardrails, metric: Metric) -> list[Check]:
    """Every check of the policy that there are cases for."""
    return [
        *_diagnoses_known(contest),
        *_groups(contest, guardrails, metric),
        *_sensitivity(contest, guardrails),
        *_calibration(contest, guardrails),
        *_explanations(contest, guardrails),
        *_beside_golden(contest, guardrails, metric),
    ]


def _diagnoses_known(contest: Contest) -> Iterator[Check]:
    said = f"the challenger does not know {', '.join(contest.forgotten)} any more" if contest.forgotten else ""
    yield Check("diagnoses", "known by both", contest.cases, None, said)


def _groups(contest: Contest, guardrails: Guardrails, metric: Metric) -> Iterator[Check]:
    chosen = guardrails.groups
    found = [
        (by, name, rows)
        for by, each in contest.groups.items()
        for name in sorted(set(each) - {UNKNOWN})
        if chosen.minimum_cases <= (rows := np.asarray(each) == name).sum() < contest.cases
    ]
    for by, name, rows in found:
        one = gain(contest, metric, rows=rows, confidence=1 - 0.05 / len(found))
        yield Check("groups", f"{by}: {name}", int(rows.sum()), one, _lost(one, chosen.margin, f"{by} {name}"))


def _sensitivity(contest: Contest, guardrails: Guardrails) -> Iterator[Check]:
    chosen = guardrails.sensitivity
    counts = contest.targets.sum(0).astype(int)
    large = [k for k, count in enumerate(counts) if count >= chosen.minimum_cases]
    for k in large:
        code, confidence = contest.diagnoses[k], 1 - 0.05 / len(large)
        one = gain(contest, sensitivity, diagnosis=k, decided=True, confidence=confidence)
        said = _lost(one, chosen.margin, f"the sensitivity for {code}")
        if one.challenger.value < chosen.floor:
            said = f"{one.challenger.value:.0%} of {code} found, {chosen.floor:.0%} asked for"
        yield Check("sensitivity", code, int(counts[k]), one, said)


def _calibration(contest: Contest, guardrails: Guardrails) -> Iterator[Check]:
    chosen = guardrails.calibration
    for about, metric, margin in (
        ("Brier score", brier, chosen.brier_margin),
        ("expected calibration error", expected_calibration_error, chosen.error_margin),
    ):
        one = gain(contest, metric)
        rise = one.difference
        worse = rise.value > margin and rise.low > 0
        said = f"the {about} rises by {rise.value:.3f} [{rise.low:.3f} to {rise.high:.3f}]" if worse else ""
        yield Check("calibration", about, contest.cases, one, said)


def _explanations(contest: Contest, guardrails: Guardrails) -> Iterator[Check]:
    if not guardrails.explanations:
        return
    row = next((r for r in contest.explainers if r["method"] == DEFAULT), None)
    failed = row is not None and not row["offered"]
    said = "its usual explanation says much the same with shuffled weights" if failed else ""
    yield Check("explanations", "shuffled weights", 0, None, said)


def _beside_golden(contest: Contest, guardrails: Guardrails, metric: Metric) -> Iterator[Check]:
    """Where the golden cases decide, what all cases say is told beside; where they are too few, what they say."""
    count = int(contest.is_golden.sum())
    if count >= guardrails.golden.minimum_cases:
        yield Check("golden", "all cases", contest.cases, gain(contest, metric))
    elif count:
        yield Check("golden", "golden cases", count, gain(contest, metric, rows=contest.is_golden))


def _lost(one: Gain, margin: float, what: str) -> str:
    apart = one.difference
    if apart.value < -margin and apart.high < 0:
        return f"{what} loses {-apart.value:.3f} [{-apart.high:.3f} to {-apart.low:.3f}]"
    return ""
