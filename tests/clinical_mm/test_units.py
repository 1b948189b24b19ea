"""Units as they arrive: labels, moles, numbers inside a unit, and units that are meant to hurt."""

from __future__ import annotations

import time

import pytest

from clinical_mm.catalogue import Catalogue
from clinical_mm.errors import UnitMismatch


@pytest.mark.parametrize(
    ("name", "value", "unit", "expected"),
    [
        ("gcs", 15, "1", 15),
        ("fio2", 0.4, "{fraction}", 40),
        ("heart_rate", 88, "{beats}/min", 88),
        ("d_dimer", 500, "ng/mL{FEU}", 500),
        ("wbc", 72, "100/uL", 7.2),
        ("lactate", 18.02, "mg/dL", 2.0),
        ("haemoglobin", 8.7, "mmol/L", 14.02),
        ("nt_probnp", 30, "pmol/L", 253.7),
        ("sodium", 140, "meq/L", 140),
        ("ldh", 4, "ukat/L", 240),
        ("temperature", 310.15, "K", 37),
    ],
)
def test_a_unit_means_what_ucum_says(catalogue: Catalogue, name: str, value: float, unit: str, expected: float) -> None:
    assert catalogue.measure(name, value, unit) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", ["glucose", "heart_rate", "gcs", "temperature", "arterial_ph"])
@pytest.mark.parametrize("unit", ["", "mg", "mol", "[pH]2", "Cel/s", "10*400/s", "{", "(" * 40, "\x00", "°C", "B[V]"])
def test_what_does_not_convert_is_a_mismatch_and_nothing_else(catalogue: Catalogue, name: str, unit: str) -> None:
    with pytest.raises(UnitMismatch):
        catalogue.measure(name, 1.0, unit)


def test_a_power_that_cannot_be_written_out_is_refused_at_once(catalogue: Catalogue) -> None:
    started = time.perf_counter()
    with pytest.raises(UnitMismatch):
        catalogue.measure("heart_rate", 1.0, "10*999999999999/min")
    assert time.perf_counter() - started < 5


def test_conversion_there_and_back_is_the_value(catalogue: Catalogue) -> None:
    celsius = catalogue.measure("temperature", 101.3, "[degF]")
    assert celsius * 9 / 5 + 32 == pytest.approx(101.3)
