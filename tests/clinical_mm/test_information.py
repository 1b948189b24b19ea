"""What a label would teach: unsure, disputed among modalities, unlike what was seen; each part by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clinical_mm.bundle_layout import PLACES
from clinical_mm.case import Case
from clinical_mm.information import Information, information
from clinical_mm.predictor import Predictor, load_model

SURE, TORN, ABSENT = [0.0, 1.0], [0.5, 0.5], [np.nan, np.nan]


def told(
    p: list[float], alone: list[list[float]], similarity: float = 1.0, kind: str = "co-occurring"
) -> tuple[float, float, float]:
    [found] = information(np.array([p]), np.array([alone]), np.array([similarity]), kind)
    return found.uncertainty, found.disagreement, found.novelty


def test_a_case_that_everything_speaks_clearly_of_and_that_was_seen_teaches_nothing() -> None:
    assert told(SURE, [SURE, SURE]) == (0, 0, 0)


def test_uncertainty_is_the_mean_over_the_diagnoses() -> None:
    assert told([0.5, 1.0], [SURE, SURE])[0] == pytest.approx(0.5)


def test_of_exactly_one_diagnosis_it_is_the_entropy_over_all() -> None:
    assert told([0.5, 0.5, 0.0, 0.0], [[1.0, 0.0, 0.0, 0.0]], kind="exclusive")[0] == pytest.approx(0.5)
    assert told([1.0], [[1.0]], kind="exclusive")[0] == 0


def test_modalities_that_contradict_each_other_disagree_wholly_and_torn_ones_not_at_all() -> None:
    assert told(TORN, [[0.0, 1.0], [1.0, 0.0]])[1] == pytest.approx(1)
    assert told(TORN, [TORN, TORN])[1] == pytest.approx(0)  # unsure is not disputed
    assert told([0.5, 0.5], [[1.0, 0.0], [0.0, 1.0]], kind="exclusive")[1] == pytest.approx(1)


def test_one_modality_alone_disagrees_with_nobody_and_an_absent_one_is_no_verdict() -> None:
    assert told(TORN, [TORN, ABSENT])[1] == 0
    two, three = told(TORN, [SURE, TORN])[1], told(TORN, [SURE, ABSENT, TORN])[1]
    assert three == pytest.approx(two)
    assert two > 0


@pytest.mark.parametrize(("similarity", "novelty"), [(1.0, 0), (0.0, 0.5**0.5), (-1.0, 1), (1.0000001, 0)])
def test_novelty_is_half_the_distance_to_the_closest_case_that_was_seen(similarity: float, novelty: float) -> None:
    assert told(SURE, [SURE], similarity)[2] == pytest.approx(novelty)


def test_it_is_the_mean_of_its_parts_and_stays_between_0_and_1() -> None:
    assert Information(0.2, 0.4, 0.9).to_json() == {
        "score": 0.5, "uncertainty": 0.2, "disagreement": 0.4, "novelty": 0.9,
    }  # fmt: skip
    rng = np.random.default_rng(0)
    for kind in ("co-occurring", "exclusive"):
        p_NK, alone_NMK = rng.random((200, 4)), rng.random((200, 3, 4))
        if kind == "exclusive":
            p_NK, alone_NMK = (p / p.sum(-1, keepdims=True) for p in (p_NK, alone_NMK))
        alone_NMK[rng.random((200, 3)) < 0.3] = np.nan
        alone_NMK[:, 0] = p_NK
        found = information(p_NK, alone_NMK, rng.uniform(-1, 1, 200), kind)
        assert all(0 <= part <= 1 for one in found for part in one.to_json().values())


def test_a_prediction_tells_it_whoever_else_is_in_the_batch(predictor: Predictor, case: Case) -> None:
    alone = predictor.predict([case])[0].information
    note_only = replace(case, images=(), vitals={})
    [_, other, together] = [p.information for p in predictor.predict([note_only, note_only, case])]
    assert alone is not None
    assert other is not None
    assert together is not None
    assert together.score == pytest.approx(alone.score, abs=1e-4)
    assert alone.disagreement > 0
    assert other.disagreement == 0
    assert alone.novelty == pytest.approx(((1 - predictor.similar(case, 1)[0][1]) / 2) ** 0.5, abs=1e-3)


def test_what_a_modality_says_alone_is_what_the_model_says_of_a_case_that_has_no_other(
    predictor: Predictor, case: Case
) -> None:
    samples = [predictor.read(case)]
    alone = predictor._forward(samples, weigh=True).alone_BMK[0]
    for column, name in enumerate(predictor.modalities):
        assert alone[column] == pytest.approx(predictor.logits_of(samples, {name})[0], abs=1e-4)


def test_a_model_that_does_not_keep_where_its_cases_lie_tells_nothing(bundle_copy: Path, case: Case) -> None:
    (bundle_copy / PLACES).unlink()
    [answer] = load_model(bundle_copy, "cpu").predict([case])
    assert answer.information is None
    assert answer.to_json()["information"] is None
