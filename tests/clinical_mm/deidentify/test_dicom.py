from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from clinical_mm.deidentify.deidentifier import CleanCase, Deidentifier
from clinical_mm.deidentify.policy import Policy, SafePrivate
from clinical_mm.deidentify.table import Action, table
from clinical_mm.errors import ClinicalMMError
from clinical_mm.importing.case_json import CaseDocument
from clinical_mm.pictures import read_picture
from tests.identified import ACCESSION, MRN, SERIES, dicom_bytes, identified

SECRET = b"a secret of sixteen bytes or more"
TRACES = (b"Quillfeather", b"QUILLFEATHER", b"Barnaby", MRN.encode(), ACCESSION.encode(), b"Oxenstierna", b"Brumaire")


def deidentifier(secret: bytes = SECRET, **changes: Any) -> Deidentifier:
    return Deidentifier(Policy.load().model_copy(update=changes), secret)


def cleaned(*files: Dataset, by: Deidentifier | None = None, patient: str = MRN) -> CleanCase:
    document = CaseDocument.model_validate({"patient": {"id": patient}})
    return (by or deidentifier()).case(document, [dicom_bytes(ds) for ds in files])


def read(data: bytes) -> Dataset:
    return pydicom.dcmread(BytesIO(data))


def elements(ds: Dataset) -> Iterator[Any]:
    for element in ds:
        yield element
        if element.VR == "SQ":
            for item in element.value:
                yield from elements(item)


def shift_of(before: Dataset, after: Dataset) -> timedelta:
    return pydicom.valuerep.DA(after.StudyDate) - pydicom.valuerep.DA(before.StudyDate)


def test_no_byte_of_who_it_is_stays_anywhere_in_the_file() -> None:
    (file,) = cleaned(identified()).files
    assert [trace for trace in TRACES if trace in file.data] == []


def test_pixels_stay_byte_for_byte() -> None:
    before = identified()
    assert read(cleaned(before).files[0].data).PixelData == before.PixelData


@pytest.mark.parametrize("number", range(14))
def test_no_attribute_that_the_standard_treats_keeps_its_value_in_real_files(shared_data: Path, number: int) -> None:
    path = sorted(p for p in (shared_data / "dicom").iterdir() if p.suffix != ".csv")[number]
    before = path.read_bytes()
    try:
        read_picture(before)
    except ClinicalMMError:
        pytest.skip("holds no picture that is read here")
    policy = Policy.load()
    document = CaseDocument.model_validate({"patient": {"id": "someone"}})
    (file,) = Deidentifier(policy, SECRET).case(document, [before]).files
    held = {(e.tag, str(e.value)) for e in elements(pydicom.dcmread(BytesIO(before), force=True)) if e.value}
    treated = {Action.REMOVE, Action.EMPTY, Action.DUMMY, Action.UID}
    kept = [
        e for e in elements(read(file.data)) if table().action(int(e.tag), policy.options) in treated and e.VR != "SQ"
    ]
    assert [e.tag for e in kept if (e.tag, str(e.value)) in held] == []
    assert not any(e.tag.is_private for e in elements(read(file.data)))
    assert np.array_equal(read_picture(before).frames, read_picture(file.data).frames)


def test_every_attribute_of_the_table_is_treated_at_any_depth() -> None:
    """Property: whatever the table names is gone, emptied or replaced, on the surface and three sequences down."""
    from pydicom.datadict import dictionary_has_tag, dictionary_VR

    surface, deep = identified(), Dataset()
    texts = {"LO", "SH", "PN", "ST", "LT", "UT", "UC"}
    tags = [t for t in table().rows if dictionary_has_tag(t) and dictionary_VR(t) in texts and t >> 16 > 8]
    for tag in tags:
        for ds in (surface, deep):
            ds.add_new(tag, dictionary_VR(tag), "Xanthippe" if dictionary_VR(tag) != "SH" else "Xanthip")
    inner = Dataset()
    inner.ProtocolContextSequence = Sequence([deep])
    surface.PerformedProtocolCodeSequence = Sequence([inner])
    (file,) = cleaned(surface).files
    assert len(tags) > 200
    assert b"Xanthip" not in file.data


def test_uids_stay_equal_where_they_were_equal() -> None:
    first, second, other = cleaned(identified(1), identified(2), identified(3, StudyInstanceUID="1.2.3")).files
    one, two, three = read(first.data), read(second.data), read(other.data)
    assert one.StudyInstanceUID == two.StudyInstanceUID != three.StudyInstanceUID
    assert one.SeriesInstanceUID == two.SeriesInstanceUID == three.SeriesInstanceUID
    assert one.SourceImageSequence[0].ReferencedSOPInstanceUID == two.SOPInstanceUID != f"{SERIES}.2"
    assert one.file_meta.MediaStorageSOPInstanceUID == one.SOPInstanceUID
    assert one.SOPInstanceUID.startswith("2.25.")
    assert one.SOPInstanceUID.is_valid
    assert one.SourceImageSequence[0].ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.2"


def test_the_same_uid_becomes_another_one_in_another_project() -> None:
    here, there = (read(cleaned(identified(), by=deidentifier(secret)).files[0].data) for secret in (SECRET, b"x" * 32))
    assert here.StudyInstanceUID != there.StudyInstanceUID
    assert here.PatientID != there.PatientID


def test_dates_of_a_patient_keep_their_distances_and_times_stay() -> None:
    before = identified()
    after = read(cleaned(before).files[0].data)
    shift = shift_of(before, after)
    assert 0 < abs(shift.days) <= 365
    assert pydicom.valuerep.DA(after.SeriesDate) - pydicom.valuerep.DA(after.StudyDate) == timedelta(days=1)
    assert after.StudyTime == before.StudyTime
    assert after.AcquisitionDateTime[8:] == before.AcquisitionDateTime[8:]
    assert after.AcquisitionDateTime[:8] == after.SeriesDate
    assert after.PatientBirthDate == ""


def test_patients_move_by_days_of_their_own() -> None:
    before = identified()
    shifts = {shift_of(before, read(cleaned(before, patient=f"p-{n}").files[0].data)) for n in range(12)}
    assert len(shifts) > 6
    assert len({shift_of(before, read(cleaned(before, patient="p-1").files[0].data)) for _ in range(3)}) == 1


def test_what_is_no_date_is_emptied() -> None:
    from pydicom import config

    ds = identified()
    with config.disable_value_validation():
        ds.SeriesDate = "Barnaby"
        ds.AcquisitionDateTime = "20261399"
        after = read(cleaned(ds).files[0].data)
    assert after.SeriesDate == ""
    assert after.AcquisitionDateTime == ""


def test_twice_is_once_and_says_so() -> None:
    once = cleaned(identified())
    document = once.document
    twice = deidentifier().case(document, [once.files[0].data])
    assert twice.files[0].data == once.files[0].data
    assert not twice.report.attributes
    assert not +twice.report.counts
    ds = read(once.files[0].data)
    assert ds.PatientIdentityRemoved == "YES"
    assert ds.LongitudinalTemporalInformationModified == "MODIFIED"
    assert [item.CodeValue for item in ds.DeidentificationMethodCodeSequence] == ["113100", "113107", "113108"]


def test_a_mark_that_somebody_copied_does_not_stop_dates_from_moving() -> None:
    marked = read(cleaned(identified()).files[0].data)
    forged = identified()
    forged.DeidentificationMethod = marked.DeidentificationMethod
    forged.PatientIdentityRemoved = "YES"
    assert shift_of(forged, read(cleaned(forged).files[0].data)).days != 0


def test_who_is_over_89_is_90() -> None:
    ages = [read(cleaned(identified(PatientAge=age)).files[0].data).PatientAge for age in ("094Y", "089Y", "011M")]
    assert ages == ["090Y", "089Y", "011M"]


def test_the_head_of_the_file_is_new() -> None:
    (file,) = cleaned(identified()).files
    meta = read(file.data).file_meta
    assert file.data[:128] == b"\0" * 128
    assert "SourceApplicationEntityTitle" not in meta
    assert meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"


def test_overlays_icons_and_what_the_standard_does_not_know_are_removed() -> None:
    ds = identified()
    ds.add_new(0x60000010, "US", 64)
    ds.add_new(0x60003000, "OW", b"\1" * 512)
    ds.add_new(0x00089FFF, "LO", "Quillfeather")
    icon = Dataset()
    icon.add_new(0x7FE00010, "OB", b"\0\0")
    ds.IconImageSequence = Sequence([icon])
    case = cleaned(ds)
    after = read(case.files[0].data)
    assert not any(tag in after for tag in (0x60000010, 0x60003000, 0x00089FFF, 0x00880200))
    assert case.report.counts["overlays"] == 2
    assert case.report.counts["unknown"] == 1


def test_a_name_that_stands_where_none_belongs_is_found_there() -> None:
    ds = identified(WindowCenterWidthExplanation="for Barnaby", ConvolutionKernel="STD")
    after = read(cleaned(ds).files[0].data)
    assert after.WindowCenterWidthExplanation == "for REMOVED"
    assert after.ConvolutionKernel == "STD"
    assert after.Manufacturer == "ACME"


def test_private_attributes_that_the_policy_calls_safe_stay() -> None:
    ds = identified()
    block = ds.private_block(0x7053, "Philips PET Private Group", create=True)
    block.add_new(0x00, "DS", "1.5")
    block.add_new(0x09, "DS", "2.5")
    safe = SafePrivate(creator="Philips PET Private Group", group="7053", element="00")
    after = read(cleaned(ds, by=deidentifier(safe_private=(safe,))).files[0].data)
    kept = after.private_block(0x7053, "Philips PET Private Group")
    assert kept[0x00].value == 1.5
    assert 0x09 not in kept
    assert "113111" in [item.CodeValue for item in after.DeidentificationMethodCodeSequence]


def test_options_keep_what_their_column_keeps() -> None:
    before = identified(DeviceSerialNumber="SN-1", BodyPartExamined="CHEST")
    keeps = frozenset({"uids", "device", "institution", "full_dates"})
    after = read(cleaned(before, by=deidentifier(retain=keeps)).files[0].data)
    assert after.StudyInstanceUID == before.StudyInstanceUID
    assert after.StudyDate == "20260301"
    assert after.DeviceSerialNumber == "SN-1"
    assert after.InstitutionName == before.InstitutionName
    assert after.LongitudinalTemporalInformationModified == "UNMODIFIED"
    assert "PatientAge" not in after
    assert after.PatientSex == ""


def test_without_a_dates_option_no_date_stays() -> None:
    after = read(cleaned(identified(), by=deidentifier(retain=frozenset())).files[0].data)
    assert after.StudyDate == ""
    assert after.LongitudinalTemporalInformationModified == "REMOVED"
    assert date(1900, 1, 1) == pydicom.valuerep.DA(after.SeriesDate)


def test_descriptors_are_cleaned_where_asked() -> None:
    after = read(cleaned(identified(), by=deidentifier(clean=frozenset({"descriptors"}))).files[0].data)
    assert after.SeriesDescription == "Chest of [NAME]^[NAME]"


def test_the_report_names_attributes_and_counts_and_no_value() -> None:
    case, by = cleaned(identified(), identified(2)), deidentifier()
    told = case.report.to_json(by.policy, by.pseudonyms.fingerprint)
    assert told["attributes"]["emptied"]["PatientName (0010,0010)"] == 2
    assert told["counts"]["private"] == 4
    assert [trace for trace in TRACES if trace in repr(told).encode()] == []


def test_the_table_says_what_another_project_reads_in_the_standard() -> None:
    from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c as other

    actions = {"D": "D_TAGS", "Z": "Z_TAGS", "X": "X_TAGS", "U": "U_TAGS", "Z/D": "Z_D_TAGS", "X/Z": "X_Z_TAGS"}
    actions |= {"X/D": "X_D_TAGS", "X/Z/D": "X_Z_D_TAGS", "X/Z/U*": "X_Z_U_STAR_TAGS"}
    theirs = {
        tag[0] << 16 | tag[1]: basic for basic, name in actions.items() for tag in getattr(other, name) if len(tag) == 2
    }
    assert {tag: row.basic for tag, row in table().rows.items()} == theirs
