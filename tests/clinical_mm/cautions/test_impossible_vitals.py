"""Values that cannot be true together."""

from __future__ import annotations

import pytest

from clinical_mm.catalogue import Catalogue
from clinical_mm.cautions.impossible_vitals import ImpossibleVitals
from tests.clinical_mm.cautions.conftest import many_vitals
from tests.clinical_mm.cautions.seeing import seen, told


@pytest.fixture
def check(catalogue: Catalogue) -> ImpossibleVitals:
    return ImpossibleVitals(("vitals",), catalogue)


@pytest.mark.parametrize(
    ("vitals", "words"),
    [
        ({"systolic_bp": 80, "diastolic_bp": 130}, "diastolic pressure 130 is not below systolic 80 mmHg"),
        ({"wbc": 8, "neutrophils": 7, "lymphocytes": 3}, "(10) are more than all leukocytes (8 x10⁹/L)"),
        ({"fio2": 21, "pao2": 180, "paco2": 40}, "PaO2 180 mmHg cannot come from 21 % oxygen"),
        ({"arterial_ph": 7.7, "paco2": 90}, "mmol/L of bicarbonate"),
        ({"gcs": 13.5}, "a Glasgow coma score of 13.5 does not exist"),
    ],
)
def test_a_broken_relation_is_told_with_its_values(
    check: ImpossibleVitals, vitals: dict[str, float], words: str
) -> None:
    [caution] = told(check, seen(vitals=vitals))
    assert caution.code == "impossible-vitals"
    assert words in caution.detail


@pytest.mark.parametrize(
    "vitals",
    [
        {"systolic_bp": 60, "diastolic_bp": 55},
        {"wbc": 8.0, "neutrophils": 6.4, "lymphocytes": 1.7},  # rounding: together 8.1
        {"wbc": 8, "neutrophils": 7},
        {"fio2": 21, "pao2": 108, "paco2": 38},
        {"fio2": 100, "pao2": 600, "paco2": 35},
        {"arterial_ph": 6.9, "paco2": 10},
        {"gcs": 15},
        {"diastolic_bp": 130},
    ],
)
def test_what_a_patient_can_have_raises_nothing(check: ImpossibleVitals, vitals: dict[str, float]) -> None:
    assert told(check, seen(vitals=vitals)) == []


def test_a_catalogue_in_other_units_is_not_judged(catalogue: Catalogue) -> None:
    kpa = catalogue.model_copy(update={"vitals": tuple(v.model_copy(update={"unit": "kPa"}) for v in catalogue.vitals)})
    check = ImpossibleVitals(("vitals",), kpa)
    assert told(check, seen(vitals={"fio2": 21, "pao2": 180, "paco2": 40})) == []


def test_the_drawn_values_raise_nothing(check: ImpossibleVitals) -> None:
    assert [vitals for vitals in many_vitals(500, seed=5) if told(check, seen(vitals=vitals))] == []
