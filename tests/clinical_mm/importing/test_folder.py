"""The plain folder and the contract's JSON: round trips, and every wrong field pointed at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clinical_mm.case import Case, ImageFile
from clinical_mm.catalogue import Catalogue
from clinical_mm.errors import InvalidCase, InvalidConfig
from clinical_mm.importing import Refused, import_cases
from clinical_mm.importing.case_json import case_from_json, case_to_json
from clinical_mm.importing.folder import folder_sha256, read_folder, whole_folder, write_folder
from clinical_mm.phantom import draw

GOOD: dict[str, Any] = {
    "external_id": "acc-1",
    "patient": {"id": "p-1", "sex": "F", "age_years": 64},
    "note": "Fever.",
    "vitals": {"spo2": 88, "temperature": {"value": 101.5, "unit": "[degF]"}},
    "diagnoses": ["pneumonia"],
    "acquired_at": "2026-03-01T10:00:00Z",
}


def test_cases_come_back_as_they_went(tmp_path: Path, catalogue: Catalogue) -> None:
    cases = [drawn.case for drawn in draw(8, seed=3)]
    assert write_folder(cases, tmp_path) == 8
    again = [case for case in read_folder(tmp_path, catalogue) if isinstance(case, Case)]
    assert [case_to_json(c) for c in again] == [case_to_json(c) for c in cases]
    assert [[i.sha256 for i in c.images] for c in again] == [[i.sha256 for i in c.images] for c in cases]


def test_files_on_the_same_disk_are_linked_not_copied(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"picture")
    write_folder([Case.from_files(images=[tmp_path / "a.png"])], tmp_path / "out")
    (written,) = (tmp_path / "out" / "files").rglob("*.png")
    assert written.stat().st_ino == (tmp_path / "a.png").stat().st_ino


def test_the_same_cases_have_the_same_hash_and_others_another(tmp_path: Path) -> None:
    hashes = {}
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        write_folder((d.case for d in draw(3, seed)), tmp_path / name)
        hashes[name] = folder_sha256(tmp_path / name, whole_folder(tmp_path / name, Catalogue.load()))
    assert hashes["one"] == hashes["same"] != hashes["other"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{not json", "line 1"),
        ("[]", "JSON object"),
        ('{"patient": {"id": "p"}, "note": "x", "files": ["../secret"]}', "outside the folder"),
        ('{"patient": {"id": "p"}, "note": "x", "files": ["/etc/passwd"]}', "outside the folder"),
        ('{"patient": {"id": "p"}, "note": "x", "files": ["files/none.dcm"]}', "is not there"),
        ('{"patient": {"id": "p"}, "vitals": {"spo2": 400}}', "spo2 = 400"),
    ],
)
def test_a_wrong_line_is_refused_by_number_and_the_others_are_read(
    tmp_path: Path, catalogue: Catalogue, line: str, reason: str
) -> None:
    (tmp_path / "cases.jsonl").write_text(f"{line}\n{json.dumps(GOOD)}\n", encoding="utf-8")
    refused, good = import_cases(tmp_path, "folder", catalogue)
    assert isinstance(refused, Refused)
    assert reason in f"{refused.where}: {refused.reason}"
    assert isinstance(good, Case)


def test_an_unknown_format_lists_the_known_ones(tmp_path: Path, catalogue: Catalogue) -> None:
    with pytest.raises(InvalidConfig, match="known: folder, covid-chestxray, fhir"):
        import_cases(tmp_path, "dicomweb", catalogue)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"patient": None}, "/patient"),
        ({"patient": {"id": ""}}, "/patient/id"),
        ({"patient": {"id": "p", "sex": "X"}}, "/patient/sex"),
        ({"patient": {"id": "p", "age_years": -1}}, "/patient/age_years"),
        ({"patient": {"id": "p", "age_years": "64"}}, "/patient/age_years"),
        ({"note": 5}, "/note"),
        ({"note": "a\x00b"}, "/note"),
        ({"vitals": {"spo2": "88"}}, "/vitals/spo2"),
        ({"vitals": {"spo2": True}}, "/vitals/spo2"),
        ({"vitals": {"mood": 1}}, "/vitals/mood"),
        ({"vitals": {"spo2": {"value": 88, "unit": "mg"}}}, "/vitals/spo2"),
        ({"diagnoses": ["gout"]}, "/diagnoses/0"),
        ({"diagnoses": "pneumonia"}, "/diagnoses"),
        ({"acquired_at": "2026-03-01T10:00:00"}, "/acquired_at"),
        ({"colour": "blue"}, "/colour"),
    ],
)
def test_every_wrong_field_is_pointed_at(catalogue: Catalogue, change: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidCase) as caught:
        case_from_json({**GOOD, **change}, catalogue)
    assert caught.value.faults[0][0].startswith(pointer)


def test_a_bare_number_is_in_the_catalogues_unit(catalogue: Catalogue) -> None:
    case = case_from_json(GOOD, catalogue, [ImageFile("a.png", b"")])
    assert dict(case.vitals) == {"spo2": 88, "temperature": pytest.approx(38.611, abs=1e-3)}
    assert case.diagnoses == ("pneumonia",)
