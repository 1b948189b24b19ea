"""integrated_gradients: an additive account over pixels, words and vitals of one prediction."""

from __future__ import annotations

import pytest

from clinical_mm.case import Case
from clinical_mm.errors import InvalidConfig
from clinical_mm.predictor import Predictor
from tests.clinical_mm.test_predictor import subsets


@pytest.mark.parametrize("there", ["image", "note", "vitals", "image+note", "image+vitals", "note+vitals", "all"])
def test_contributions_sum_to_what_the_case_moves(predictor: Predictor, case: Case, there: str) -> None:
    account = predictor.explain(subsets(case)[there], "pneumonia")
    moved = account.value - account.baseline_value
    total = sum(c.contribution for c in account.contributions)
    assert account.completeness_error <= 0.02
    assert total == pytest.approx(moved, abs=0.02 * max(abs(moved), 0.1) + 1e-4)


def test_absent_modalities_contribute_nothing(predictor: Predictor, case: Case) -> None:
    account = predictor.explain(subsets(case)["note"], "pneumonia")
    shares = {c.name: c.contribution for c in account.contributions}
    assert (shares["imaging"], shares["vitals"]) == (0, 0)
    assert (account.images, account.vitals) == ((), ())


def test_words_and_presence_carry_the_whole_of_what_the_note_contributes(predictor: Predictor, case: Case) -> None:
    account = predictor.explain(case, "pneumonia")
    text, note = next(c for c in account.contributions if c.name == "text"), case.note or ""
    total = sum(span.attribution for span in account.text) + text.presence
    assert total == pytest.approx(text.contribution, abs=0.02)
    assert all(note[span.start : span.end] == span.text for span in account.text)


def test_vitals_and_presence_carry_the_whole_of_what_the_table_contributes(predictor: Predictor, case: Case) -> None:
    account = predictor.explain(case, "pneumonia")
    vitals = next(c for c in account.contributions if c.name == "vitals")
    total = sum(v.attribution for v in account.vitals) + vitals.presence
    assert total == pytest.approx(vitals.contribution, abs=0.02)
    assert set(case.vitals) <= {v.name for v in account.vitals}


def test_the_heat_map_covers_the_picture_and_its_peak_lies_inside(predictor: Predictor, case: Case) -> None:
    (heat,) = predictor.explain(case, "pneumonia").images
    assert (heat.file, heat.frame) == (0, 0)
    assert float(abs(heat.values).sum()) > 0
    assert all(0 <= value < 256 for value in heat.peak)


def test_explaining_twice_gives_the_same_account(predictor: Predictor, case: Case) -> None:
    one, other = predictor.explain(case, "pneumonia"), predictor.explain(case, "pneumonia")
    assert {c.name: c.contribution for c in one.contributions} == pytest.approx(
        {c.name: c.contribution for c in other.contributions}, abs=1e-5
    )


def test_an_unknown_method_lists_the_known_ones(predictor: Predictor, case: Case) -> None:
    with pytest.raises(InvalidConfig, match="known: integrated_gradients"):
        predictor.explain(case, "pneumonia", method="tea-leaves")
