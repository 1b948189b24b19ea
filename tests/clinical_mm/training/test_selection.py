"""What a task can be taught with: labelled cases, and only diagnoses that the training part itself shows."""

from __future__ import annotations

import pytest

from clinical_mm.case import Case, Patient
from clinical_mm.catalogue import Catalogue
from clinical_mm.config import TaskConfig
from clinical_mm.errors import NotEnoughData
from clinical_mm.training.selection import readable, select_cases, teachable
from clinical_mm.training.split import Split

EXCLUSIVE = TaskConfig(kind="exclusive")


def cases(*labels: tuple[str, ...] | None) -> list[Case]:
    return [Case(Patient(f"p{i}"), note="Fever.", diagnoses=found) for i, found in enumerate(labels)]


def test_unlabelled_cases_teach_nothing_and_labelled_negatives_do(catalogue: Catalogue) -> None:
    given = cases(*[None] * 9, *[("pneumonia",)] * 6, *[()] * 6)
    chosen, diagnoses = select_cases(given, TaskConfig(), catalogue)
    assert chosen == given[9:]
    assert diagnoses == ("pneumonia",)


def test_diagnoses_are_all_that_the_cases_hold_in_the_order_of_the_catalogue(catalogue: Catalogue) -> None:
    order = [d.code for d in catalogue.diagnoses]
    given = cases(*[(order[4],)] * 5, *[(order[1],)] * 5, *[(order[2], order[4])] * 5)
    assert select_cases(given, TaskConfig(), catalogue)[1] == (order[1], order[2], order[4])


def test_an_exclusive_task_keeps_cases_with_exactly_one_of_its_diagnoses(catalogue: Catalogue) -> None:
    both, other = ("pneumonia", "heart-failure"), ("copd", "pneumonia")
    given = cases(*[("pneumonia",)] * 6, *[("heart-failure",)] * 6, both, other, ())
    task = TaskConfig(kind="exclusive", diagnoses=("pneumonia", "heart-failure"))
    chosen, _ = select_cases(given, task, catalogue)
    assert chosen == [*given[:12], given[13]]


def test_a_diagnosis_of_one_case_is_not_taught_and_in_an_exclusive_task_its_case_neither(catalogue: Catalogue) -> None:
    given = cases(*[("pneumonia",)] * 6, *[("heart-failure",)] * 6, ("copd",))
    assert select_cases(given, TaskConfig(), catalogue) == (given, ("pneumonia", "heart-failure"))
    assert select_cases(given, EXCLUSIVE, catalogue) == (given[:12], ("pneumonia", "heart-failure"))


def test_what_every_case_has_cannot_be_told_apart(catalogue: Catalogue) -> None:
    with pytest.raises(NotEnoughData, match="nothing to tell apart"):
        select_cases(cases(*[("pneumonia",)] * 20), TaskConfig(), catalogue)


def test_too_few_labelled_cases_are_counted_in_the_message(catalogue: Catalogue) -> None:
    with pytest.raises(NotEnoughData, match=r"11 labelled cases .* at least 12"):
        select_cases(cases(*[("pneumonia",)] * 5, *[()] * 6), TaskConfig(), catalogue)


def test_a_diagnosis_that_fell_wholly_to_the_test_part_is_not_taught() -> None:
    given = cases(("pneumonia",), (), ("pneumonia",), ("copd",), ("copd",))
    parts = Split((0, 1), (2,), (3, 4))
    assert teachable(parts, given, ("pneumonia", "copd"), "co-occurring") == (parts, ("pneumonia",))


def test_cases_that_know_only_an_untaught_diagnosis_leave_an_exclusive_task() -> None:
    given = cases(("pneumonia",), ("heart-failure",), ("pneumonia",), ("copd",), ("pneumonia",))
    kept, taught = teachable(Split((0, 1), (2,), (3, 4)), given, ("pneumonia", "heart-failure", "copd"), "exclusive")
    assert taught == ("pneumonia", "heart-failure")
    assert kept == Split((0, 1), (2,), (4,))


def test_cases_with_nothing_that_the_model_reads_are_left_out_of_every_part() -> None:
    nothing, something = {"text": None, "vitals": None}, {"text": None, "vitals": {}}
    samples = [something, nothing, something, nothing, something, nothing]
    assert readable(Split((0, 1), (2, 3), (4, 5)), samples) == Split((0,), (2,), (4,))


def test_no_validation_case_left_is_said() -> None:
    with pytest.raises(NotEnoughData, match="2 training and 0 validation cases"):
        teachable(Split((0, 1), (), ()), cases(("pneumonia",), ()), ("pneumonia",), "co-occurring")
