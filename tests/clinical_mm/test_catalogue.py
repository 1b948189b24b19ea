"""The catalogue: what is measured, in which unit, and what no patient can have."""

from __future__ import annotations

from pathlib import Path

import pytest

from clinical_mm.case import Case, Patient
from clinical_mm.catalogue import Catalogue
from clinical_mm.errors import ImplausibleValue, InvalidCase, InvalidConfig, UnitMismatch, UnknownCode


def test_it_holds_what_was_promised(catalogue: Catalogue) -> None:
    assert len(catalogue.vitals) >= 25
    assert len(catalogue.diagnoses) >= 12


def test_normal_lies_inside_plausible_and_loinc_codes_have_their_check_digit(catalogue: Catalogue) -> None:
    for vital in catalogue.vitals:
        for side in (vital.normal.low, vital.normal.high):
            assert side is None or side in vital.plausible, vital.name
        number, digit = vital.loinc.split("-")
        assert luhn(number) == int(digit), vital.name


def luhn(number: str) -> int:
    """The check digit of LOINC: modulus 10, every second digit from the right doubled."""
    total = sum(sum(divmod(int(d) * (2 if i % 2 == 0 else 1), 10)) for i, d in enumerate(reversed(number)))
    return (10 - total % 10) % 10


def test_snomed_codes_have_their_verhoeff_digit(catalogue: Catalogue) -> None:
    assert [d.code for d in catalogue.diagnoses if not verhoeff(d.snomed)] == []


def verhoeff(number: str) -> bool:
    multiply = [[(i + j) % 5 if j < 5 else (i + j) % 5 + 5 for j in range(10)] for i in range(5)]
    multiply += [[(i - j) % 5 + 5 if j < 5 else (i - j) % 5 for j in range(10)] for i in range(5, 10)]
    permute = [list(range(10)), [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]]
    while len(permute) < 8:
        permute.append([permute[-1][permute[1][i]] for i in range(10)])
    check = 0
    for position, digit in enumerate(reversed(number)):
        check = multiply[check][permute[position % 8][int(digit)]]
    return check == 0


@pytest.mark.parametrize(
    ("name", "value", "unit", "expected"),
    [
        ("temperature", 101.5, "[degF]", 38.61),
        ("glucose", 5.5, "mmol/L", 99.1),
        ("creatinine", 88, "umol/L", 0.995),
        ("pao2", 10, "kPa", 75.0),
        ("spo2", 0.9, "1", 90),
        ("wbc", 9000, "/uL", 9.0),
        ("haemoglobin", 140, "g/L", 14.0),
        ("weight", 150, "[lb_av]", 68.04),
    ],
)
def test_units_are_converted(catalogue: Catalogue, name: str, value: float, unit: str, expected: float) -> None:
    assert catalogue.measure(name, value, unit) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "value", "unit", "error"),
    [
        ("spo2", 250, None, ImplausibleValue),
        ("spo2", float("nan"), None, ImplausibleValue),
        ("temperature", 101.5, None, ImplausibleValue),
        ("spo2", 88, "mg", UnitMismatch),
        ("spo2", 88, "bananas", UnitMismatch),
        ("crp", 5, "mmol/L", UnitMismatch),
        ("mood", 1, None, UnknownCode),
    ],
)
def test_what_cannot_be_is_refused_where_it_stands(
    catalogue: Catalogue, name: str, value: float, unit: str | None, error: type[InvalidCase]
) -> None:
    with pytest.raises(error) as caught:
        catalogue.measure(name, value, unit, pointer=f"/vitals/{name}")
    assert caught.value.pointer == f"/vitals/{name}"


def test_a_file_that_is_no_catalogue_is_refused_with_the_entry(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.yaml"
    path.write_text("vitals: [{name: spo2}]\ndiagnoses: []\n", encoding="utf-8")
    with pytest.raises(InvalidConfig, match="display"):
        Catalogue.load(path)


def test_a_case_is_immutable_and_holds_at_least_something() -> None:
    case = Case.from_files(note="Fever.", vitals={"spo2": 90})
    with pytest.raises(TypeError):
        case.vitals["spo2"] = 99  # type: ignore[index]
    with pytest.raises(InvalidCase, match="at least one of"):
        Case(Patient("p"), note="   ")


def test_a_missing_image_is_said_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.dcm"):
        Case.from_files(images=[tmp_path / "nothing.dcm"])
