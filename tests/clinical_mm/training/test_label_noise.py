"""Labels held against the rest of their case: what was turned round is found, and whose key it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clinical_mm.case import Case, Patient
from clinical_mm.training.label_features import described
from clinical_mm.training.label_noise import LabelNoise, check_labels, confident, suspicions
from clinical_mm.training.label_policy import Noise
from tests.api.conftest import png

COUNT = 400


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    """Cases whose notes and values tell their label; four keys have labelled a hundred each."""
    draw = np.random.default_rng(0)
    found = []
    for n in range(COUNT):
        ill = draw.random(2) < 0.4
        note = f"{'Fever and cough' if ill[0] else 'No fever'}. {'Ankles swollen' if ill[1] else 'Ankles slim'}. Bed {n % 7}."
        vitals = {"temperature": 37 + 1.5 * ill[0] + 0.4 * draw.normal(), "spo2": 97 - 3 * ill[1] + draw.normal()}
        held = tuple(code for code, there in zip(("pneumonia", "heart-failure"), ill, strict=True) if there)
        case = Case(patient=Patient(f"p-{n}"), note=note, vitals=vitals, diagnoses=held, id=f"case_{n}")
        found.append(replace(case, label_by=(f"key_{n % 4}",)))
    return found


USUAL = Noise()


def checked(cases: list[Case], policy: Noise = USUAL) -> LabelNoise:
    return check_labels(cases, [case.id for case in cases], policy)


def turned(case: Case) -> Case:
    return replace(case, diagnoses=tuple({"pneumonia", "heart-failure"} - set(case.diagnoses or ())))


def test_where_labels_fit_little_is_suspicious_and_nobody_is_named(cases: list[Case]) -> None:
    found = checked(cases)
    assert found.checked == COUNT
    assert len(found.suspicious) < 0.03 * COUNT
    assert [one.reviewer for one in found.reviewers] == ["key_0", "key_1", "key_2", "key_3"]
    assert found.named == ()


@pytest.mark.parametrize("share", [0.25, 0.75])
def test_labels_that_one_key_turned_are_found_and_the_key_is_named(cases: list[Case], share: float) -> None:
    draw = np.random.default_rng(1)
    wrong = {case.id for case in cases if "key_2" in case.label_by and draw.random() < share}
    found = checked([turned(case) if case.id in wrong else case for case in cases])
    assert [one.reviewer for one in found.named] == ["key_2"]
    assert found.named[0].said.startswith("labels by key_2 are suspicious in ")
    low, share_told, high = found.named[0].share.low, found.named[0].share.value, found.named[0].share.high
    assert found.named[0].others < low < share_told < high
    assert len(found.suspicious & wrong) > 0.9 * len(wrong)
    assert len(found.suspicious - wrong) < 0.1 * COUNT
    assert [one.score for one in found.suspects] == sorted(one.score for one in found.suspects)


def test_a_diagnosis_that_one_key_never_names_is_told_by_name(cases: list[Case]) -> None:
    planted = [
        replace(case, diagnoses=tuple(set(case.diagnoses or ()) - {"pneumonia"})) if "key_1" in case.label_by else case
        for case in cases
    ]
    [named] = checked(planted).named
    assert named.reviewer == "key_1"
    assert "most of all pneumonia left out: in " in named.said


def test_a_difference_that_chance_explains_or_that_is_small_names_nobody(cases: list[Case]) -> None:
    few = [turned(case) if n in {0, 4} else case for n, case in enumerate(cases)]
    assert checked(few).named == ()
    many = [turned(case) if n % 4 == 0 and n < 60 else case for n, case in enumerate(cases)]
    assert len(checked(many).named) == 1
    assert checked(many, Noise(margin=0.5)).named == ()
    assert checked(many, Noise(minimum_labels=101)).named == ()


def test_where_nearly_everybody_is_named_the_rest_is_left_alone(cases: list[Case]) -> None:
    planted = [replace(c, label_by=("key_1",)) if n < 350 else c for n, c in enumerate(cases)]
    found = checked([turned(c) if n < 350 and n % 3 == 0 else c for n, c in enumerate(planted)])
    assert {one.reviewer for one in found.named} == {"key_1"}


def test_for_a_golden_label_no_reviewer_answers(cases: list[Case]) -> None:
    planted = [replace(turned(c), golden=True) if "key_2" in c.label_by else c for c in cases]
    assert {one.reviewer for one in checked(planted).reviewers} == {"key_0", "key_1", "key_3"}


def test_one_reviewer_alone_is_compared_with_nobody(cases: list[Case]) -> None:
    alone = [replace(turned(c) if n % 3 == 0 else c, label_by=("key_1",)) for n, c in enumerate(cases)]
    assert checked(alone).named == ()


def test_a_handful_of_labels_is_not_judged(cases: list[Case]) -> None:
    assert checked(cases[:20]) == LabelNoise(0)
    of_few = [replace(case, patient=Patient(f"p-{n % 30}")) for n, case in enumerate(cases)]
    assert checked(of_few) == LabelNoise(0), "however many labels: thirty patients"
    unlabelled = [replace(case, diagnoses=None) for case in cases]
    assert checked(unlabelled).checked == 0


def test_a_case_may_lack_anything_and_an_image_is_seen(cases: list[Case]) -> None:
    from clinical_mm.case import ImageFile

    some = [replace(c, note=None) if n % 3 == 0 else c for n, c in enumerate(cases[:90])]
    some = [replace(c, images=(ImageFile("a.png", png(n)),)) if n % 2 else c for n, c in enumerate(some)]
    with_images, without = described(some), described(some, images=False)
    assert with_images.shape[0] == without.shape[0] == 90
    assert with_images.shape[1] > without.shape[1]
    assert np.isfinite(with_images.toarray()).all()
    assert described([replace(c, note=None, vitals={}) for c in some if c.images]).shape[0] == 45


def test_what_is_suspicious_follows_from_confident_learning() -> None:
    targets = np.array([[1.0], [1.0], [1.0], [0.0], [0.0], [0.0]])
    likely = np.array([[0.9], [0.8], [0.05], [0.1], [0.2], [0.95]])
    scores, suspicious = confident(targets, likely)
    assert np.flatnonzero(suspicious[:, 0]).tolist() == [2, 5]
    assert scores[:, 0] == pytest.approx([0.9, 0.8, 0.05, 0.9, 0.8, 0.05])


def test_a_card_without_labels_holds_nothing() -> None:
    assert suspicions({}) == ()
    assert suspicions({"labels": {"holds": ["labels by key_1 ..."]}}) == ("labels by key_1 ...",)
