"""Splits: by patient, stable, never empty where they need not be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clinical_mm.training.split import split

patients = st.lists(st.text(min_size=1, max_size=6), min_size=2, max_size=120)


@given(patients, st.integers(0, 5))
def test_each_case_is_in_one_part_and_a_patient_in_one_part_only(ids: list[str], seed: int) -> None:
    parts = split(ids, seed, 0.15, 0.2)
    rows = [*parts.train, *parts.validation, *parts.test]
    assert sorted(rows) == list(range(len(ids)))
    owners = [{ids[i] for i in part} for part in (parts.train, parts.validation, parts.test)]
    assert len(set().union(*owners)) == sum(map(len, owners))


@given(st.sets(st.text(min_size=1, max_size=6), min_size=2, max_size=80), st.integers(0, 5))
def test_training_and_validation_are_never_empty(ids: set[str], seed: int) -> None:
    parts = split(sorted(ids), seed, 0.15, 0.2)
    assert parts.train
    assert parts.validation


def test_a_patient_once_in_test_stays_there_as_cases_are_added_and_the_seed_changes() -> None:
    few, many = [f"p{i}" for i in range(60)], [f"p{i}" for i in range(300)]
    before = {few[i] for i in split(few, 0, 0.15, 0.2).test}
    after = {many[i] for i in split(many, 7, 0.15, 0.2).test}
    assert before
    assert before <= after


def test_the_parts_have_about_the_size_that_was_asked_for() -> None:
    parts = split([f"p{i}" for i in range(2000)], 0, 0.15, 0.2)
    assert abs(len(parts.test) - 400) < 60
    assert abs(len(parts.validation) - 300) < 30
