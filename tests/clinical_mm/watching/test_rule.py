"""When the serving model asks to be trained again, and when that would gain nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from clinical_mm.errors import InvalidConfig
from clinical_mm.watching.rule import Agreement, Asks, Figures, Needs, Rule

RULE = Rule.load()
CALM = Figures(drifted=0, judged=40, agreement=Agreement.of(90, 100), new_labels=200, days_since=30.0)


def test_the_rule_that_comes_along_is_the_default_and_only_tells() -> None:
    assert Rule() == RULE
    assert RULE.action == "tell"


def test_where_nothing_has_moved_nothing_is_asked() -> None:
    ruling = RULE.judge(CALM)
    assert (ruling.asks, ruling.reasons, ruling.lacking) == (False, (), ())


@pytest.mark.parametrize(("drifted", "asks"), [(3, False), (4, True), (40, True)])
def test_a_share_of_drifted_features_asks(drifted: int, asks: bool) -> None:
    assert RULE.judge(replace(CALM, drifted=drifted)).asks is asks


def test_no_feature_that_enough_cases_stand_behind_asks_nothing() -> None:
    assert not RULE.judge(replace(CALM, judged=0)).asks


@pytest.mark.parametrize(
    ("confirmed", "reviews", "asks"),
    [(60, 100, True), (75, 100, False), (10, 29, False), (160, 200, False), (130, 200, True), (0, 0, False)],
)
def test_agreement_asks_where_it_is_shown_to_be_low(confirmed: int, reviews: int, asks: bool) -> None:
    ruling = RULE.judge(replace(CALM, agreement=Agreement.of(confirmed, reviews)))
    assert ruling.asks is asks
    if asks:
        assert f"{confirmed / reviews:.0%} of {reviews} answers [" in ruling.reasons[0]


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ({"new_labels": 49}, "49 of 50 new reviewed labels are there"),
        ({"days_since": 13.5}, "the newest training was 13.5 days ago, of at least 14"),
        ({"run": "run_1"}, "a training run is under way: run_1"),
    ],
)
def test_what_is_lacking_is_told_and_nothing_is_asked(lacking: dict[str, float], said: str) -> None:
    ruling = RULE.judge(replace(CALM, drifted=10, **lacking))  # type: ignore[arg-type]
    assert (ruling.asks, ruling.lacking) == (False, (said,))
    assert len(ruling.reasons) == 1


def test_either_can_be_turned_off() -> None:
    deaf = Rule(asks=Asks(drifted_share=None), needs=Needs(new_labels=0, days_between=0))
    assert not deaf.judge(replace(CALM, drifted=40, days_since=None)).asks
    silent = RULE.model_validate({"asks": {"agreement": {"below": 0}}})
    assert not silent.judge(replace(CALM, agreement=Agreement.of(0, 100))).asks


def test_a_faulty_rule_names_each_field(tmp_path: Path) -> None:
    path = tmp_path / "watching.yaml"
    path.write_text("asks: {drifted_share: 2}\naction: panic\n", encoding="utf-8")
    with pytest.raises(InvalidConfig, match=r"asks\.drifted_share: .*; action: "):
        Rule.load(path)
