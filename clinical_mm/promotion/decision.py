"""Promote, hold for a person, or reject: a policy applied to what was measured, with its reasons in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from clinical_mm.evaluation.metrics import auroc, average_precision, macro
from clinical_mm.evaluation.reliability import ReliabilityBin, binned
from clinical_mm.promotion.contest import RESAMPLES, SEED, Contest
from clinical_mm.promotion.gains import Gain, gain
from clinical_mm.promotion.guardrails import Check, guard
from clinical_mm.promotion.policy import Policy

Outcome = Literal["promote", "hold", "reject"]
METRICS = {"macro_auroc": macro(auroc), "macro_auprc": macro(average_precision)}
NAMES = {"macro_auroc": "macro AUROC", "macro_auprc": "macro AUPRC"}


@dataclass(frozen=True)
class Decision:
    """What comes of a comparison.

    Attributes:
        gain: of the policy's metric, on the golden cases where they decide.
        golden: how many of the cases have a locked label.
        measured_on: how many stand behind ``gain``.
        reliability: champion's and challenger's claims beside what came true; empty where nothing was measured.
    """

    outcome: Outcome
    reasons: tuple[str, ...]
    policy: Policy
    cases: int
    patients: int
    gain: Gain | None
    checks: tuple[Check, ...]
    learned: tuple[str, ...] = ()
    reliability: Mapping[str, Sequence[ReliabilityBin]] = field(default_factory=dict)
    golden: int = 0
    measured_on: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "outcome": self.outcome,
            "reasons": list(self.reasons),
            "policy": self.policy.model_dump(mode="json"),
            "cases": self.cases,
            "patients": self.patients,
            "golden": self.golden,
            "measured_on": self.measured_on,
            "resamples": RESAMPLES,
            "seed": SEED,
            "gain": None if self.gain is None else self.gain.to_json(),
            "checks": [check.to_json() for check in self.checks],
            "learned": list(self.learned),
            "reliability": {side: [b.to_json() for b in bins] for side, bins in self.reliability.items()},
        }


def decide(contest: Contest, policy: Policy) -> Decision:
    """Apply a policy; where the two know no diagnosis in common there is nothing to measure, and it is rejected."""
    if not contest.diagnoses:
        reason = f"the challenger knows none of the champion's diagnoses: {', '.join(contest.forgotten)}"
        return Decision("reject", (reason,), policy, contest.cases, contest.patients, None, (), contest.learned)
    metric = METRICS[policy.metric]
    golden = contest.is_golden if _golden_decides(contest, policy) else None
    main = gain(contest, metric, rows=golden)
    checks = tuple(guard(contest, policy.guardrails, metric))
    outcome, reasons = _outcome(contest, policy, main, [check.said for check in checks if check.said])
    sides = {"champion": contest.champion, "challenger": contest.challenger}
    return Decision(
        outcome,
        tuple(reasons),
        policy,
        contest.cases,
        contest.patients,
        main,
        checks,
        contest.learned,
        {name: binned(side.probabilities, contest.targets) for name, side in sides.items()},
        int(contest.is_golden.sum()),
        int(contest.is_golden.sum()) if golden is not None else contest.cases,
    )


def nothing_to_judge_on(policy: Policy) -> Decision:
    """No case is left that neither model has learned from."""
    reason = "no labelled case is left that neither model has learned from: a person decides"
    return Decision("hold", (reason,), policy, 0, 0, None, ())


def _outcome(contest: Contest, policy: Policy, main: Gain, broken: list[str]) -> tuple[Outcome, list[str]]:
    """By the golden cases where there are enough; what speaks against the labels that taught forbids to promote."""
    outcome, reasons = _by_metric(contest, policy, main, broken)
    if outcome == "promote" and contest.suspicions:
        outcome = "hold"
    return outcome, [*reasons, *contest.suspicions, *_too_few_golden(contest, policy)]


def _by_metric(contest: Contest, policy: Policy, main: Gain, broken: list[str]) -> tuple[Outcome, list[str]]:
    apart, name, by_golden = main.difference, NAMES[policy.metric], _golden_decides(contest, policy)
    on = f"{contest.is_golden.sum()} golden cases" if by_golden else f"{contest.cases} cases"
    measured = f"{name} {apart.value:+.3f} [{apart.low:+.3f} to {apart.high:+.3f}] on {on}"
    able = f"so many could show a gain of {main.detectable:.3f} in four of five comparisons"
    worse = apart.value < -(policy.guardrails.golden.margin if by_golden else policy.margin) or apart.high < 0
    if contest.cases < policy.minimum_cases:
        few = f"{contest.cases} cases to judge on, {policy.minimum_cases} asked for: nobody can tell"
        return ("reject", [*broken, few]) if broken else ("hold", [few])
    if worse or broken:
        return "reject", [*([f"worse: {measured}"] if worse else []), *broken]
    if apart.low > policy.gain:
        return policy.outcomes.better, [f"better: {measured}", "no guardrail is broken"]
    return policy.outcomes.cannot_tell, [f"neither better nor worse: {measured}", able]


def _golden_decides(contest: Contest, policy: Policy) -> bool:
    return bool(contest.is_golden.sum() >= policy.guardrails.golden.minimum_cases)


def _too_few_golden(contest: Contest, policy: Policy) -> list[str]:
    if _golden_decides(contest, policy):
        return []
    there, asked = int(contest.is_golden.sum()), policy.guardrails.golden.minimum_cases
    return [f"{there} golden cases, {asked} asked for: labels that follow from reviews judged"]
