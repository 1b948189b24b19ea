"""The mapping of real ultrasound cases: units as their own table says, nothing that follows the diagnosis."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from benchmarks.covid_blues import VITALS, may_enter, measured, written_out

UNIT = {"/min": "/min", "%": "%", "°C": "Cel", "kg": "kg", "10E9/l": "10*9/L", "mmol/l": "mmol/L", "mg/L": "mg/L"}
UNIT |= {"U/l": "U/L", "kPa": "kPa"}


@pytest.fixture(scope="module")
def source(shared_data: Path) -> Path:
    return shared_data / "covid_blues"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_each_column_is_read_in_the_unit_that_its_table_states(source: Path) -> None:
    stated = {row["variable"]: row["unit"] for row in rows(source / "variable_explanations.csv")}
    told = {column: unit for column, (_, unit) in VITALS.items() if stated[column]}
    assert told == {column: UNIT[stated[column]] for column in told}
    assert set(VITALS) - set(told) == {"sys_bp", "dias_bp", "pH_find", "absolute_lymphocytes"}


def test_no_column_of_outcomes_or_tests_enters(source: Path) -> None:
    kinds = {row["variable"]: row["variable_type"] for row in rows(source / "variable_explanations.csv")}
    after = [column for column, kind in kinds.items() if kind in {"Outcome", "COVID-19 Test Results"}]
    assert after
    assert [column for column in (*after, "C19_vacc", "oxygen_liter") if may_enter(column)] == []


def test_missing_values_stay_missing_and_others_arrive_in_our_units(source: Path) -> None:
    everyone = rows(source / "clinical_variables.csv")
    assert len(everyone) == 38
    refused = [why for row in everyone for why in measured(row)[1]]
    assert refused == []
    for row in everyone:
        vitals, _ = measured(row)
        absent = {VITALS[c][0] for c in VITALS if row[c] in {"", "-99", "-99.0"}}
        assert set(vitals) == {name for name, _ in VITALS.values()} - absent
    first = next(row for row in everyone if row["patient_id"] == "37")
    assert measured(first)[0]["haemoglobin"] == pytest.approx(7.4 * 1.61145, abs=0.01)
    assert measured(first)[0]["pao2"] == pytest.approx(9.3 * 7.50062, abs=0.01)
    assert written_out(first).startswith("Symptoms for 1 days: nausea, fever, coughing, chest pain.")
