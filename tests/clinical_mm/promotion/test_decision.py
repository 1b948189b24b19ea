"""What the policy says of a challenger that is better, worse, worse for some, or no different."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clinical_mm.errors import InvalidConfig
from clinical_mm.promotion.contest import Contest, Side
from clinical_mm.promotion.decision import Decision, decide
from clinical_mm.promotion.policy import Outcomes, Policy
from tests.clinical_mm.promotion.contests import contest

POLICY = Policy.load()
PROMOTING = POLICY.model_copy(update={"outcomes": Outcomes(better="promote")})


def broken(decision: Decision) -> set[str]:
    return {check.guard for check in decision.checks if not check.passed}


def test_a_better_model_is_held_for_a_person_by_default_and_promoted_where_the_policy_says_so() -> None:
    one = contest(challenger=2.5)
    assert decide(one, POLICY).outcome == "hold"
    assert decide(one, PROMOTING).outcome == "promote"
    assert decide(one, PROMOTING).reasons[0].startswith("better: macro AUROC +0.0")


def test_a_worse_model_is_rejected() -> None:
    decision = decide(contest(champion=2.0, challenger=1.0), PROMOTING)
    assert decision.outcome == "reject"
    assert decision.reasons[0].startswith("worse: macro AUROC -")


def test_of_two_alike_nobody_can_tell_and_the_smallest_gain_to_be_shown_is_told() -> None:
    decision = decide(contest(noise=0.3), PROMOTING)
    assert decision.outcome == "hold"
    assert "neither better nor worse" in decision.reasons[0]
    assert "so many could show a gain of 0.0" in decision.reasons[1]


def test_a_model_that_fails_one_sex_is_rejected_though_it_is_better_for_the_other() -> None:
    decision = decide(contest(400, champion=1.2, challenger=4.0, wrong_for="F"), PROMOTING)
    assert decision.outcome == "reject"
    assert any(reason.startswith("sex F loses") for reason in decision.reasons)
    assert {c.about for c in decision.checks if c.guard == "groups" and not c.passed} == {"sex: F"}


def test_probabilities_that_claim_too_much_are_rejected_though_the_ranking_is_the_same() -> None:
    decision = decide(contest(noise=0.0, overconfident=6.0), PROMOTING)
    assert broken(decision) == {"calibration"}
    assert decision.outcome == "reject"


def test_a_diagnosis_that_is_found_less_often_is_told_by_name() -> None:
    one = contest(challenger=2.5)
    decided = one.challenger.decided.copy()
    decided[:, 1] = 0
    decision = decide(replace(one, challenger=replace(one.challenger, decided=decided)), PROMOTING)
    assert any(reason.startswith("the sensitivity for heart-failure loses") for reason in decision.reasons)


def test_a_floor_holds_whatever_the_champion_does() -> None:
    strict = POLICY.guardrails.sensitivity.model_copy(update={"floor": 0.999})
    policy = POLICY.model_copy(update={"guardrails": POLICY.guardrails.model_copy(update={"sensitivity": strict})})
    assert "sensitivity" in broken(decide(contest(), policy))


def test_a_model_that_forgets_a_diagnosis_is_rejected() -> None:
    decision = decide(replace(contest(challenger=2.5), forgotten=("sepsis",)), PROMOTING)
    assert "the challenger does not know sepsis any more" in decision.reasons


def test_explanations_that_say_the_same_of_shuffled_weights_reject() -> None:
    row = {"method": "integrated_gradients", "offered": False, "cases": 2}
    assert broken(decide(contest(explainers=[row]), POLICY)) == {"explanations"}
    row["offered"] = True
    assert broken(decide(contest(explainers=[row]), POLICY)) == set()


def test_a_handful_of_cases_is_held_for_a_person() -> None:
    decision = decide(contest(30, challenger=2.5), PROMOTING)
    assert decision.outcome == "hold"
    assert "30 cases to judge on, 50 asked for" in decision.reasons[0]


def test_a_policy_that_says_something_else_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("metric: accuracy\nmargin: 3\n")
    with pytest.raises(InvalidConfig, match=r"policy\.yaml: metric: .*; margin: "):
        Policy.load(path)


def test_chance_alone_seldom_rejects_an_equal_model() -> None:
    rejected = [decide(contest(200, seed=seed), POLICY).outcome == "reject" for seed in range(40)]
    assert sum(rejected) <= 5


def test_a_model_of_other_diagnoses_altogether_is_rejected() -> None:
    nothing = np.zeros((300, 0))
    one = contest(challenger=2.5)
    apart = replace(
        one,
        diagnoses=(),
        targets=nothing,
        champion=Side(nothing, nothing),
        challenger=Side(nothing, nothing),
        forgotten=one.diagnoses,
    )
    decision = decide(apart, PROMOTING)
    assert decision.outcome == "reject"
    assert "knows none of the champion's diagnoses: pneumonia" in decision.reasons[0]


def test_claims_of_both_models_are_kept_beside_what_came_true() -> None:
    boastful = decide(contest(2000, overconfident=5.0), POLICY).to_json()["reliability"]
    off = {
        side: sum(b["count"] * abs(b["claimed"] - b["observed"]["value"]) for b in bins) / 6000
        for side, bins in boastful.items()
    }
    assert off["champion"] < 0.02
    assert off["challenger"] > 0.05
    low, value, high = (boastful["champion"][0]["observed"][end] for end in ("low", "value", "high"))
    assert low < value < high


def golden(one: Contest, count: int, **sides: Side) -> Contest:
    """The same, its first cases golden."""
    return replace(one, golden=[n < count for n in range(one.cases)], **sides)


def worse_on(one: Contest, rows: slice) -> Side:
    """The challenger, saying the opposite of these cases."""
    told = one.challenger.probabilities.copy()
    told[rows] = 1 - told[rows]
    return replace(one.challenger, probabilities=told)


def test_where_there_are_enough_golden_cases_they_alone_decide() -> None:
    one = contest(400, challenger=2.5)
    bad_there = golden(one, 60, challenger=worse_on(one, slice(60)))
    decision = decide(bad_there, PROMOTING)
    assert decision.outcome == "reject"
    assert decision.reasons[0].startswith("worse: macro AUROC -0.")
    assert "on 60 golden cases" in decision.reasons[0]
    assert (decision.golden, decision.measured_on, decision.cases) == (60, 60, 400)
    assert not any("asked for" in reason for reason in decision.reasons)
    [beside] = [check for check in decision.checks if check.guard == "golden"]
    assert (beside.about, beside.cases, beside.passed) == ("all cases", 400, True)
    assert beside.gain is not None
    assert decision.gain is not None
    assert beside.gain.difference.value > decision.gain.difference.value + 0.2


def test_labels_that_follow_from_reviews_do_not_make_a_model_worse_that_the_golden_cases_bear_out() -> None:
    one = contest(400, challenger=2.5)
    elsewhere = golden(one, 100, challenger=worse_on(one, slice(100, None)))
    assert decide(replace(elsewhere, golden=()), PROMOTING).reasons[0].startswith("worse")
    assert not any(reason.startswith("worse") for reason in decide(elsewhere, PROMOTING).reasons)


def test_with_too_few_golden_cases_the_decision_says_who_judged() -> None:
    decision = decide(golden(contest(challenger=2.5), 12), PROMOTING)
    assert decision.outcome == "promote"
    assert decision.reasons[-1] == "12 golden cases, 50 asked for: labels that follow from reviews judged"
    [beside] = [check for check in decision.checks if check.guard == "golden"]
    assert (beside.about, beside.cases) == ("golden cases", 12)


def test_what_speaks_against_the_labels_that_taught_holds_the_best_of_models() -> None:
    said = "labels by key_1 are suspicious in 60% of 100, those by others in 9% of 400"
    decision = decide(replace(contest(challenger=2.5), suspicions=[said]), PROMOTING)
    assert decision.outcome == "hold"
    assert decision.reasons[0].startswith("better: ")
    assert said in decision.reasons
    assert decide(replace(contest(champion=2.0, challenger=1.0), suspicions=[said]), PROMOTING).outcome == "reject"
