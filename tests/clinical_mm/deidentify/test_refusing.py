from __future__ import annotations

import pytest

from clinical_mm.deidentify.deidentifier import Deidentifier
from clinical_mm.deidentify.policy import Policy
from clinical_mm.deidentify.refusing import refuse_identified
from clinical_mm.errors import Identified
from clinical_mm.importing.case_json import CaseDocument
from tests.identified import dicom_bytes, identified

POLICY = Policy.load()


def document(**parts: object) -> CaseDocument:
    return CaseDocument.model_validate({"patient": {"id": "p-1"}, **parts})


def test_a_file_that_says_who_it_is_of_is_refused_by_the_names_of_its_attributes() -> None:
    with pytest.raises(Identified) as refused:
        refuse_identified(document(), [dicom_bytes(identified())], POLICY)
    ((pointer, told),) = refused.value.faults
    assert pointer == "/files/0"
    assert "PatientName (0010,0010)" in told
    assert "private attributes" in told or "more" in told
    assert "uillfeather" not in f"{refused.value} {told}".lower()


def test_a_note_with_identifiers_is_refused_by_their_kinds() -> None:
    note = "Seen by Dr. Anna Smith on 2026-03-01, MRN 123456."
    with pytest.raises(Identified) as refused:
        refuse_identified(document(note=note), [], POLICY)
    assert refused.value.faults == (("/note", "holds what looks like ID, NAME"),)


def test_who_is_over_90_is_refused() -> None:
    with pytest.raises(Identified) as refused:
        refuse_identified(document(patient={"id": "p-1", "age_years": 93}, note="fever"), [], POLICY)
    assert refused.value.pointer == "/patient/age_years"


def test_what_was_de_identified_is_taken() -> None:
    clean = Deidentifier(POLICY, b"s" * 16).case(
        document(note="Dr. Smith saw Barnaby Quillfeather, 94-year-old, on 2026-03-01."), [dicom_bytes(identified())]
    )
    refuse_identified(clean.document, [file.data for file in clean.files], POLICY)
