"""What follows where labels are suspicious: it is told, they do not teach, or the training ends; golden cases judge."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clinical_mm.case import Case
from clinical_mm.errors import NotEnoughData, SuspectLabels
from clinical_mm.training.label_policy import LabelPolicy, Noise
from clinical_mm.training.split import JUDGE, LEFT_OUT, Split, as_told, judging
from clinical_mm.training.vetting import FOUND, TEACHING, Vetted, vetted, write_labels
from tests.clinical_mm.training.test_label_noise import cases, turned

__all__ = ["cases"]
WRONG_ALONE = {f"case_{n}" for n in (3, 7)}
"""By a key that is not named for so few."""


@pytest.fixture
def planted(cases: list[Case]) -> list[Case]:
    """``key_2`` turns every second label; ``case_3`` and ``case_7`` are slips of another."""
    wrong = WRONG_ALONE | {f"case_{n}" for n in range(2, 400, 8)}
    return [turned(case) if case.id in wrong else case for case in cases]


def vet(cases: Sequence[Case], folder: Path, **noise: Any) -> Vetted:
    write_labels(folder / "snapshot", LabelPolicy(noise=Noise(**noise)), {"labels": len(cases)})
    return vetted(folder / "snapshot", cases, [case.id for case in cases], folder / "out", images=False)


def test_a_snapshot_without_a_policy_is_not_checked(planted: list[Case], tmp_path: Path) -> None:
    assert vetted(tmp_path, planted, [c.id for c in planted], tmp_path / "out", images=False) == Vetted()
    assert not (tmp_path / "out").exists()


def test_it_is_told_whose_labels_are_suspicious_and_nothing_is_promoted_by_itself(
    planted: list[Case], tmp_path: Path
) -> None:
    found = vet(planted, tmp_path)
    assert (found.judges, found.left_out) == (frozenset(), frozenset())
    assert found.account is not None
    [held] = found.account["holds"]
    assert held.startswith("labels by key_2 are suspicious")
    assert found.on_card["labels"]["report"] == {"labels": 400}
    assert json.loads((tmp_path / "out" / FOUND).read_text()) == found.account


def test_told_only_nothing_is_held(planted: list[Case], tmp_path: Path) -> None:
    account = vet(planted, tmp_path, named="tell").account
    assert account is not None
    assert account["holds"] == []
    assert [one["reviewer"] for one in account["noise"]["reviewers"] if one["said"]] == ["key_2"]


def test_left_out_are_suspicious_labels_and_every_word_of_a_named_key(planted: list[Case], tmp_path: Path) -> None:
    agreed = [replace(c, label_by=("key_1", "key_2")) if c.id == "case_6" else c for c in planted]
    locked = [replace(c, golden=True) if c.id == "case_10" else c for c in agreed]
    found = vet(locked, tmp_path, check="leave-out")
    of_key_2 = {f"case_{n}" for n in range(2, 400, 4)}
    assert found.left_out == of_key_2 - {"case_6", "case_10"}
    assert found.judges >= WRONG_ALONE
    assert len(found.judges) < 20
    told = found.told({"train": ["case_1"], LEFT_OUT: ["case_0"]})
    assert told["train"] == ["case_1"]
    assert set(told[LEFT_OUT]) == {"case_0", *found.left_out}
    assert set(told[JUDGE]) == found.judges


def test_the_training_can_end_with_the_key_s_name_and_what_was_found_stays(planted: list[Case], tmp_path: Path) -> None:
    with pytest.raises(SuspectLabels, match="labels by key_2 are suspicious in "):
        vet(planted, tmp_path, named="end")
    assert json.loads((tmp_path / "out" / FOUND).read_text())["noise"]["suspicious"] > 30


def test_where_the_check_is_off_nothing_is_looked_at(planted: list[Case], tmp_path: Path) -> None:
    account = vet(planted, tmp_path, check="off", named="end").account
    assert account is not None
    assert account["noise"]["checked"] == 0


def test_a_damaged_policy_of_a_snapshot_is_told(planted: list[Case], tmp_path: Path) -> None:
    (tmp_path / TEACHING).write_text("{}")
    with pytest.raises(NotEnoughData, match=r"the snapshot is damaged: teaching\.json"):
        vetted(tmp_path, planted, [c.id for c in planted], tmp_path / "out", images=False)


def test_every_case_of_a_patient_with_a_golden_one_judges_whatever_was_told() -> None:
    patients = ["a", "a", "b", "c", "d"]
    parts = Split(train=(0, 1, 2), validation=(3,), test=(4,))
    golden = [True, False, False, True, False]
    assert judging(parts, patients, golden, [False] * 5) == Split((2,), (), (0, 1, 3, 4))


def test_what_may_only_judge_is_in_no_other_part() -> None:
    parts = Split(train=(0, 1), validation=(2,), test=(3, 4))
    only = [True, False, True, True, False]
    assert judging(parts, list("abcde"), [False] * 5, only) == Split((1,), (), (3, 4))


def test_what_was_left_out_of_a_split_stays_out_of_it() -> None:
    parts = Split(train=(0, 1), validation=(2,), test=(3,))
    names = ["a", "b", "c", "d"]
    assert as_told(parts, names, names, {"validation": ["a"], LEFT_OUT: ["b"]}) == Split((), (0, 2), (3,))
