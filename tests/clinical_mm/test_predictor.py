"""The front door: cases in, predictions and explanations out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from clinical_mm.case import Case, ImageFile, Patient
from clinical_mm.errors import InvalidCase, UnknownCode, UnreadableFile, UnsupportedFile
from clinical_mm.predictor import Predictor


def subsets(case: Case) -> dict[str, Case]:
    """The case with each non-empty subset of its modalities."""
    return {
        "image": replace(case, note=None, vitals={}),
        "note": replace(case, images=(), vitals={}),
        "vitals": replace(case, images=(), note=None),
        "image+note": replace(case, vitals={}),
        "image+vitals": replace(case, note=None),
        "note+vitals": replace(case, images=()),
        "all": case,
    }


def test_probabilities_are_sorted_and_between_zero_and_one(predictor: Predictor, case: Case) -> None:
    answer = predictor.predict([case])[0]
    p = [d.probability for d in answer.diagnoses]
    assert p == sorted(p, reverse=True)
    assert all(0 <= value <= 1 for value in p)
    assert {d.code for d in answer.diagnoses} == set(predictor.diagnoses)


@pytest.mark.parametrize("there", ["image", "note", "vitals", "image+note", "image+vitals", "note+vitals", "all"])
def test_any_subset_of_modalities_is_served_and_what_is_missing_is_said(
    predictor: Predictor, case: Case, there: str
) -> None:
    answer = predictor.predict([subsets(case)[there]])[0]
    missing = {"image", "note", "vitals"} - set(there.split("+")) if there != "all" else set()
    assert {w.code for w in answer.warnings} == {f"{what}-missing" for what in missing}
    assert sum(m.weight for m in answer.modalities) == pytest.approx(1, abs=1e-5)
    assert [m.weight == 0 for m in answer.modalities] == [not m.present for m in answer.modalities]


def test_a_case_without_anything_the_model_reads_is_refused(predictor: Predictor) -> None:
    silent = Case(Patient("p"), vitals={"not-in-this-model": 1.0})
    with pytest.raises(InvalidCase, match="it reads: imaging, text, vitals"):
        predictor.predict([silent])


def test_files_that_do_not_decode_are_refused_with_a_reason(predictor: Predictor) -> None:
    with pytest.raises(UnsupportedFile):
        predictor.predict([Case(Patient("p"), images=(ImageFile("a.txt", b"hello, this is text"),))])
    with pytest.raises(UnreadableFile):
        predictor.predict([Case(Patient("p"), images=(ImageFile("a.png", b"\x89PNG\r\n\x1a\n" + b"0" * 50),))])


def test_many_threads_get_the_answer_that_one_gets(predictor: Predictor, case: Case) -> None:
    cases = list(subsets(case).values())
    alone = [predictor.predict([c])[0] for c in cases]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda c: predictor.predict([c])[0], cases * 3))
    for number, answer in enumerate(together):
        expected = {d.code: d.probability for d in alone[number % len(cases)].diagnoses}
        assert {d.code: d.probability for d in answer.diagnoses} == pytest.approx(expected, abs=1e-5)


def test_the_probability_is_the_sigmoid_of_the_explained_value(predictor: Predictor, case: Case) -> None:
    explanation = predictor.explain(case, "pneumonia")
    probability = next(d.probability for d in predictor.predict([case])[0].diagnoses if d.code == "pneumonia")
    assert 1 / (1 + np.exp(-explanation.value)) == pytest.approx(probability, abs=1e-4)


def test_an_unknown_target_lists_what_the_model_knows(predictor: Predictor, case: Case) -> None:
    with pytest.raises(UnknownCode, match="it has: pneumonia"):
        predictor.explain(case, "gout")
