"""Which labels teach by the policy: who needs a second reader, and how much one reviewer may teach."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from clinical_mm.errors import InvalidConfig
from clinical_mm.training.label_policy import LabelPolicy, Quota, SecondReader
from clinical_mm.training.label_rules import PER_DAY, SECOND_READER, SHARE, Label, Word, sort_out

START = datetime(2026, 3, 1, 8, tzinfo=UTC)
OPEN = Quota(per_day=None)


def label(case: str, *reviewers: str, hours: float = 0, **told: Any) -> Label:
    """A label of pneumonia that these reviewers name."""
    words = tuple(Word(f"review_{case}_{key}", key, START + timedelta(hours=hours)) for key in reviewers)
    return Label(case, ("pneumonia",), words, **told)


def left_out(labels: list[Label], quota: Quota = OPEN, needed: str = "never") -> dict[str, str]:
    return dict(sort_out(labels, LabelPolicy(quota=quota, second_reader=SecondReader(needed=needed))).left_out)  # type: ignore[arg-type]


def test_as_it_comes_the_policy_lets_one_reviewer_of_a_small_hospital_teach_alone() -> None:
    policy = LabelPolicy.load()
    assert policy == LabelPolicy(), "the file says what the code says"
    assert sort_out([label(f"case_{n}", "key_1") for n in range(400)], policy).left_out == {}


def test_with_a_second_reader_always_a_word_alone_does_not_teach() -> None:
    labels = [label("alone", "key_1"), label("agreed", "key_1", "key_2"), label("sent", sent=("pneumonia",))]
    assert left_out(labels, needed="always") == {"alone": SECOND_READER}


def test_two_words_of_one_key_are_one_reader() -> None:
    twice = Label("case", ("pneumonia",), (Word("review_1", "key_1", START), Word("review_2", "key_1", START)))
    assert left_out([twice], needed="always") == {"case": SECOND_READER}


@pytest.mark.parametrize(
    ("told", "needs"),
    [
        ({}, False),
        ({"sent": ("pneumonia",)}, False),
        ({"sent": ("covid-19",)}, True),
        ({"sent": ()}, True),
        ({"by_hand": True}, True),
        ({"said": {"pneumonia": 0.05}}, True),
        ({"said": {"pneumonia": 0.2}}, False),
        ({"said": {"pneumonia": 0.8, "covid-19": 0.95}}, True),
        ({"said": {"pneumonia": 0.95, "covid-19": 0.05}}, False),
    ],
)
def test_with_a_second_reader_for_overrides_what_contradicts_needs_one(told: dict[str, Any], needs: bool) -> None:
    assert left_out([label("case", "key_1", **told)], needed="overrides") == ({"case": SECOND_READER} if needs else {})
    assert left_out([label("case", "key_1", "key_2", **told)], needed="overrides") == {}


def test_of_one_day_the_oldest_words_teach_and_what_two_name_counts_for_neither() -> None:
    day = [label(f"case_{n}", "key_1", hours=n) for n in range(5)]
    others = [label("agreed", "key_1", "key_2"), label("next day", "key_1", hours=24), label("other", "key_2")]
    assert left_out([*reversed(day), *others], Quota(per_day=3)) == {"case_3": PER_DAY, "case_4": PER_DAY}


def test_a_share_follows_from_what_the_others_said_so_that_more_words_earn_no_more() -> None:
    others = [label(f"other_{n}", f"key_{2 + n % 2}") for n in range(30)]
    for many in (40, 400):
        mine = [label(f"mine_{n:03}", "key_1", hours=n) for n in range(many)]
        out = left_out([*mine, *others], Quota(per_day=None, share=0.25))
        assert out == {f"mine_{n:03}": SHARE for n in range(10, many)}, "10 of the 40 that teach are a quarter"


def test_a_share_is_asked_only_where_enough_have_reviewed() -> None:
    labels = [label(f"mine_{n}", "key_1") for n in range(40)] + [label("other", "key_2")]
    assert left_out(labels, Quota(per_day=None, share=0.25)) == {}
    assert len(left_out(labels, Quota(per_day=None, share=0.25, share_from_reviewers=2))) == 40


def test_a_golden_label_is_about_no_rule() -> None:
    assert left_out([label("golden", "key_1", golden=True)], Quota(per_day=1), "always") == {}


def test_the_report_tells_how_many_of_whom_were_left_out_by_which_rule() -> None:
    labels = [label(f"case_{n}", "key_1", hours=n) for n in range(3)] + [label("two", "key_1", "key_2"), label("sent")]
    report = sort_out(labels, LabelPolicy(quota=Quota(per_day=2))).to_json()
    assert (report["labels"], report["reviewed"], report["as_sent"], report["golden"]) == (5, 4, 1, 0)
    assert report["left_out"] == {PER_DAY: 1}
    assert report["reviewers"] == [
        {"reviewer": "key_1", "labels": 4, "left_out": {PER_DAY: 1}},
        {"reviewer": "key_2", "labels": 1, "left_out": {}},
    ]


def test_a_policy_that_says_something_else_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "labels.yaml"
    path.write_text("second_reader: {needed: sometimes}\nquota: {share: 2}\n")
    with pytest.raises(InvalidConfig, match=r"labels\.yaml: quota\.share: .*; second_reader\.needed: "):
        LabelPolicy.load(path)
