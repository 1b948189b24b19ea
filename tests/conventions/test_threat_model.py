"""docs/threat-model.md: each threat is answered, and what is said to show so exists."""

from __future__ import annotations

import pytest

from tests.conventions.named_tests import REPOSITORY, missing, named, table_rows

ROWS = table_rows(REPOSITORY / "docs" / "threat-model.md", 5)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_threat_names_its_kind_its_answer_and_a_test_that_exists(row: list[str]) -> None:
    _, kind, threat, answer, shown = row
    assert kind in set("STRIDE")
    assert threat
    assert answer
    assert named(shown), "neither a test nor an ordeal"
    assert missing(shown) == []


def test_every_kind_of_threat_was_thought_of_and_each_has_a_number_of_its_own() -> None:
    assert {row[1] for row in ROWS} == set("STRIDE")
    numbers = [row[0] for row in ROWS]
    assert len(numbers) == len(set(numbers)) > 50
