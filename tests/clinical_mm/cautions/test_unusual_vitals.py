"""Values far outside what training has seen."""

from __future__ import annotations

import numpy as np
import pytest

from clinical_mm.catalogue import Catalogue
from clinical_mm.cautions.unusual_vitals import FEWEST, UnusualVitals
from tests.clinical_mm.cautions.conftest import many_vitals
from tests.clinical_mm.cautions.seeing import seen, told

TAUGHT = many_vitals(400, seed=0)


@pytest.fixture
def check(catalogue: Catalogue) -> UnusualVitals:
    found = UnusualVitals(("vitals",), catalogue)
    found.fit([seen(vitals=vitals) for vitals in TAUGHT])
    return found


def test_a_value_far_above_names_the_highest_that_was_seen(check: UnusualVitals) -> None:
    values = [vitals["creatinine"] for vitals in TAUGHT if "creatinine" in vitals]
    [caution] = told(check, seen(vitals={"creatinine": 35, "heart_rate": 80}))
    assert caution.code == "unusual-vital"
    expected = f"Creatinine 35 mg/dL: the highest of {len(values)} training cases was {max(values):g}"
    assert caution.detail == expected


def test_a_value_far_below_names_the_lowest(check: UnusualVitals) -> None:
    [caution] = told(check, seen(vitals={"sodium": 85}))
    assert "the lowest of" in caution.detail
    assert "Sodium 85 mmol/L" in caution.detail


def test_new_drawn_values_raise_next_to_nothing(check: UnusualVitals) -> None:
    fresh = many_vitals(1000, seed=9)
    assert sum(bool(told(check, seen(vitals=vitals))) for vitals in fresh) <= 5


def test_the_extremes_of_training_itself_raise_nothing(check: UnusualVitals) -> None:
    assert [vitals for vitals in TAUGHT if told(check, seen(vitals=vitals))] == []


def test_skewed_values_are_judged_on_their_logarithm(catalogue: Catalogue) -> None:
    crp = np.exp(np.random.default_rng(0).normal(2, 1, 200))
    check = UnusualVitals(("vitals",), catalogue)
    check.fit([seen(vitals={"crp": float(value)}) for value in crp])
    assert told(check, seen(vitals={"crp": float(crp.max() * 2)})) == []
    assert told(check, seen(vitals={"crp": float(crp.max() * 6)})) != []
    assert told(check, seen(vitals={"crp": 0.0})) != []


def test_a_vital_that_few_had_is_not_judged(catalogue: Catalogue) -> None:
    check = UnusualVitals(("vitals",), catalogue)
    check.fit([seen(vitals={"glucose": 90.0 + i}) for i in range(FEWEST - 1)])
    assert told(check, seen(vitals={"glucose": 2000})) == []


def test_a_model_that_reads_no_vitals_does_not_judge_them(catalogue: Catalogue) -> None:
    check = UnusualVitals(("text",), catalogue)
    check.fit([seen(vitals=vitals) for vitals in TAUGHT])
    assert told(check, seen(vitals={"sodium": 85})) == []
