"""Splits: by patient, stable, never empty where they need not be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clinical_mm.training.split import as_told, split

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


def test_a_split_that_is_told_is_the_same_again_and_stays_so_when_a_case_is_gone() -> None:
    ids = [f"p{i // 2}" for i in range(80)]  # two cases a patient
    names = [f"case-{i}" for i in range(80)]
    parts = split(ids, 3, 0.15, 0.2)
    told = {part: [names[i] for i in getattr(parts, part)] for part in ("train", "validation", "test")}
    assert as_told(split(ids, 3, 0.15, 0.2), ids, names, told) == parts
    gone = {0, 1, 2, 3, 10, 17, 40}
    left = [i for i in range(80) if i not in gone]
    again = as_told(split([ids[i] for i in left], 9, 0.3, 0.4), [ids[i] for i in left], [names[i] for i in left], told)
    assert [names[left[i]] for i in again.train] == [name for name in told["train"] if int(name[5:]) not in gone]
    assert [names[left[i]] for i in again.test] == [name for name in told["test"] if int(name[5:]) not in gone]


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
