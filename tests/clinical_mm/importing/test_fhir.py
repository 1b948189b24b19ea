"""FHIR R4 bundles: what of them becomes a case."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from clinical_mm.case import Case
from clinical_mm.catalogue import Catalogue
from clinical_mm.importing import Refused, import_cases

ME = "Patient/p1"


def observation(loinc: str, value: float, unit: str, when: str) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "subject": {"reference": ME},
        "code": {"coding": [{"system": "http://loinc.org", "code": loinc}]},
        "valueQuantity": {"value": value, "code": unit},
        "effectiveDateTime": when,
    }


def bundle(*resources: dict[str, Any]) -> dict[str, Any]:
    patient = {"resourceType": "Patient", "id": "p1", "gender": "female", "birthDate": "1960-01-01"}
    return {"resourceType": "Bundle", "entry": [{"resource": r} for r in (patient, *resources)]}


def read(tmp_path: Path, *documents: Any) -> list[Case | Refused]:
    for number, document in enumerate(documents):
        (tmp_path / f"{number}.json").write_text(json.dumps(document), encoding="utf-8")
    return list(import_cases(tmp_path, "fhir", Catalogue.load()))


def test_the_newest_value_of_a_vital_counts_in_the_catalogues_unit(tmp_path: Path) -> None:
    early = observation("8310-5", 37.0, "Cel", "2026-01-01T08:00:00Z")
    late = observation("8310-5", 101.3, "[degF]", "2026-01-02T08:00:00Z")
    (case,) = read(tmp_path, bundle(late, early))
    assert isinstance(case, Case)
    assert case.vitals["temperature"] == pytest.approx(38.5)
    assert (case.patient.sex, case.patient.age_years) == ("F", pytest.approx(66.0, abs=0.1))


def test_conditions_are_matched_by_snomed_and_icd10(tmp_path: Path) -> None:
    def condition(code: str) -> dict[str, Any]:
        return {"resourceType": "Condition", "subject": {"reference": ME}, "code": {"coding": [{"code": code}]}}

    vital = observation("59408-5", 91, "%", "2026-01-01")
    (case,) = read(tmp_path, bundle(vital, condition("233604007"), condition("J90")))
    assert isinstance(case, Case)
    assert case.diagnoses == ("pneumonia", "pleural-effusion")


def test_without_conditions_a_case_is_unlabelled(tmp_path: Path) -> None:
    (case,) = read(tmp_path, bundle(observation("59408-5", 91, "%", "2026-01-01")))
    assert isinstance(case, Case)
    assert case.diagnoses is None


def test_a_plain_text_document_is_the_note(tmp_path: Path) -> None:
    attachment = {"contentType": "text/plain", "data": base64.b64encode(b"Fever for three days.").decode()}
    document = {
        "resourceType": "DocumentReference",
        "subject": {"reference": ME},
        "date": "2026-01-01",
        "content": [{"attachment": attachment}],
    }
    (case,) = read(tmp_path, bundle(document))
    assert isinstance(case, Case)
    assert case.note == "Fever for three days."


@pytest.mark.parametrize("document", [{"resourceType": "Patient"}, [], bundle(), "text"])
def test_what_is_no_usable_bundle_is_refused_by_name(tmp_path: Path, document: Any) -> None:
    (refused,) = read(tmp_path, document)
    assert isinstance(refused, Refused)
    assert refused.where.startswith("0.json")


def test_a_real_synthea_bundle_enters(shared_data: Path) -> None:
    outcomes = list(import_cases(shared_data / "fhir" / "synthea_r4", "fhir", Catalogue.load()))
    cases = [c for c in outcomes if isinstance(c, Case)]
    assert len(cases) == 1
    assert {"systolic_bp", "diastolic_bp", "weight"} <= set(cases[0].vitals)
