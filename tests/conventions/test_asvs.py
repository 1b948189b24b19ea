"""docs/asvs.md: every requirement of OWASP ASVS 5.0, levels 1 and 2, stands once; what is counted is so (R16)."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.conventions.named_tests import REPOSITORY, missing, named, table_rows

DOCUMENT = REPOSITORY / "docs" / "asvs.md"
ROWS = [row for row in table_rows(DOCUMENT, 5) if row[0] != "requirement"]
STANDARD = dict(
    line.split() for line in (REPOSITORY / "tests" / "conventions" / "asvs_5.0.0.txt").read_text("ascii").splitlines()
)
"""Number -> level, of the standard's own list."""


def test_every_requirement_stands_once_with_its_level() -> None:
    assert Counter(STANDARD.values()) == {"1": 70, "2": 183}
    assert [row[0] for row in ROWS] == list(STANDARD)
    assert {row[0]: row[1] for row in ROWS} == STANDARD


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_requirement_says_how_it_is_met_or_why_not_by_tests_that_exist(row: list[str]) -> None:
    _, _, state, how, shown = row
    assert state in {"met", "not met", "n/a"}
    assert how
    assert missing(shown) == []
    assert state != "not met" or not named(shown)


def test_the_figures_at_its_head_are_counted() -> None:
    states = Counter(row[2] for row in ROWS)
    applying = len(ROWS) - states["n/a"]
    shown = sum(bool(named(row[4])) for row in ROWS if row[2] == "met")
    text = " ".join(DOCUMENT.read_text(encoding="utf-8").split())
    told = re.search(
        r"Of (\d+) that apply, (\d+) are met \((\d+) %\), (\d+) are not met; "
        r"(\d+) are met and shown by a test \((\d+) %\)",
        text,
    )
    assert told is not None
    counted = [
        applying,
        states["met"],
        states["met"] / applying,
        states["not met"],
        shown,
        shown / applying,
    ]
    assert list(told.groups()) == [f"{100 * n:.0f}" if isinstance(n, float) else str(n) for n in counted]
