"""The layout of the public repository ieee8023/covid-chestxray-dataset, drawn here in miniature."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from PIL import Image

from clinical_mm.case import Case
from clinical_mm.catalogue import Catalogue
from clinical_mm.importing import Refused, import_cases
from clinical_mm.importing.covid_chestxray import diagnoses_of

COLUMNS = [
    "patientid",
    "offset",
    "sex",
    "age",
    "finding",
    "temperature",
    "pO2_saturation",
    "leukocyte_count",
    "view",
    "modality",
    "filename",
    "clinical_notes",
]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Two moments of one patient, a CT volume without anything else, and a row that names nobody."""
    rows = [
        ["2", "0", "M", "65", "Pneumonia/Viral/COVID-19", "38.5", "88", "", "PA", "X-ray", "a.png", "Fever, cough."],
        ["2", "0", "M", "65", "Pneumonia/Viral/COVID-19", "", "", "", "L", "X-ray", "b.png", ""],
        ["2", "5", "M", "65", "Pneumonia/Viral/COVID-19", "", "", "", "PA", "X-ray", "c.png", ""],
        ["3", "", "F", "", "todo", "", "", "7.2", "", "CT", "d.nii.gz", ""],
        ["4", "1", "F", "50", "No Finding", "", "", "", "", "CT", "e.nii.gz", ""],
        ["", "", "", "", "", "", "", "", "", "", "a.png", ""],
        ["5", "1", "F", "50", "Tuberculosis", "", "140", "", "PA", "X-ray", "a.png", ""],
    ]
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png", "c.png"):
        Image.new("L", (16, 16), 90).save(tmp_path / "images" / name)
    with (tmp_path / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return tmp_path


@pytest.fixture
def imported(checkout: Path) -> list[Case | Refused]:
    return list(import_cases(checkout, "covid-chestxray", Catalogue.load()))


def test_a_case_is_a_patient_at_one_moment_with_its_images(imported: list[Case | Refused]) -> None:
    first, second = (c for c in imported if isinstance(c, Case) and c.patient.id == "covid-chestxray-2")
    assert [i.name for i in first.images] == ["a.png", "b.png"]
    assert [i.name for i in second.images] == ["c.png"]
    assert first.external_id == "covid-chestxray-2-0"
    assert (first.note, dict(first.vitals)) == ("Fever, cough.", {"temperature": 38.5, "spo2": 88.0})
    assert first.diagnoses == ("covid-19",)


def test_a_row_still_to_be_read_is_unlabelled(imported: list[Case | Refused]) -> None:
    (case,) = (c for c in imported if isinstance(c, Case) and c.patient.id == "covid-chestxray-3")
    assert case.diagnoses is None
    assert dict(case.vitals) == {"wbc": 7.2}


def test_what_cannot_be_read_is_refused_with_its_line_and_reason(imported: list[Case | Refused]) -> None:
    refused = {r.where: r.reason for r in imported if isinstance(r, Refused)}
    assert len(refused) == 3
    assert refused["metadata.csv line 7"] == "no patientid"
    assert "at least one of" in refused["metadata.csv line 6 (patient 4, offset 1)"]
    assert "spo2 = 140" in refused["metadata.csv line 8 (patient 5, offset 1)"]


@pytest.mark.parametrize(
    ("finding", "codes"),
    [
        ("Pneumonia/Viral/COVID-19", ("covid-19",)),
        ("Pneumonia/Bacterial/Streptococcus", ("pneumonia",)),
        ("Pneumonia/Fungal/Pneumocystis", ("pneumocystis-pneumonia",)),
        ("COVID-19, ARDS", ("covid-19", "ards")),
        ("No Finding", ()),
        ("todo", None),
        ("Unheard of", None),
    ],
)
def test_findings_become_catalogue_codes(finding: str, codes: tuple[str, ...] | None) -> None:
    assert diagnoses_of(finding) == codes


def test_a_folder_without_metadata_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"metadata\.csv"):
        list(import_cases(tmp_path, "covid-chestxray", Catalogue.load()))
