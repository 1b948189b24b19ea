"""A DICOM file without who the patient is: the data set treated, the file's head written anew, the pixels as they were.

Source: DICOM PS3.15 E.2, PS3.10 section 7 (head), PS3.16 CID 7050 (the codes of what was done).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import UID

from clinical_mm.deidentify.elements import Rules, clean_elements
from clinical_mm.deidentify.policy import Option
from clinical_mm.deidentify.report import Report
from clinical_mm.deidentify.table import EDITION
from clinical_mm.deidentify.values import text_values, vr_of
from clinical_mm.pictures.decoding import reading
from clinical_mm.pictures.structure import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    check_structure,
    find_data_set,
)

WRITER = UID("2.25.318187326411947182390129432904432134511")
"""Implementation Class UID of the files written here."""
BASIC_PROFILE = ("113100", "Basic Application Confidentiality Profile")
CLEAN_PIXELS = ("113101", "Clean Pixel Data Option")
SAFE_PRIVATE = ("113111", "Retain Safe Private Option")
CODES: dict[Option, tuple[str, str]] = {
    "descriptors": ("113105", "Clean Descriptors Option"),
    "full_dates": ("113106", "Retain Longitudinal Temporal Information Full Dates Option"),
    "modified_dates": ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    "patient": ("113108", "Retain Patient Characteristics Option"),
    "device": ("113109", "Retain Device Identity Option"),
    "uids": ("113110", "Retain UIDs Option"),
    "institution": ("113112", "Retain Institution Identity Option"),
}
_METHOD = 0x00120063
_SEAL = "clinical_mm "


@dataclass(frozen=True)
class Opened:
    """A data set and the transfer syntax that it really has."""

    ds: Dataset
    transfer_syntax: str


def opened(data: bytes) -> Opened:
    """Read a file without its pixels being decoded; raises UnreadableFile."""
    with reading("the DICOM header"):
        part = find_data_set(data)
        check_structure(part)
        ds = read_dataset(BytesIO(part.data), part.implicit, part.little)
        return Opened(ds, _transfer_syntax(part.transfer_syntax, implicit=part.implicit, little=part.little))


def clean_dicom(file: Opened, rules: Rules, report: Report) -> bytes:
    """The same file without identity; raises UnreadableFile where its elements cannot be read or written.

    Dates that this project's key has moved before, as a seal in the file proves, stay where they are.
    """
    ds = file.ds
    with reading("the DICOM header"):
        sealed = _is_sealed(ds, rules)
        clean_elements(ds, replace(rules, days=0) if sealed else rules, report)
        _mark(ds, rules)
    return written(file)


def mark_masked(ds: Dataset) -> None:
    """Say that no text is left in the pixels."""
    ds.BurnedInAnnotation = "NO"
    done = ds.DeidentificationMethodCodeSequence
    if all(item.CodeValue != CLEAN_PIXELS[0] for item in done):
        done.insert(1, _code(*CLEAN_PIXELS))


def written(file: Opened) -> bytes:
    """The file with a head of its own: no preamble, no name of a sender or of the software before."""
    out = BytesIO()
    with reading("the DICOM header"):
        ds = file.ds
        meta = FileMetaDataset()
        meta.FileMetaInformationVersion = b"\0\1"
        for keyword in ("SOPClassUID", "SOPInstanceUID"):
            if ds.get(keyword):
                setattr(meta, f"MediaStorage{keyword}", ds.get(keyword))
        meta.TransferSyntaxUID = UID(file.transfer_syntax)
        meta.ImplementationClassUID = WRITER
        ds.file_meta, ds.preamble = meta, b"\0" * 128
        dcmwrite(out, ds)
    return out.getvalue()


def _transfer_syntax(said: str, *, implicit: bool, little: bool) -> str:
    """What a file says of its encoding is not always so (structure.py)."""
    if implicit:
        return IMPLICIT_LITTLE
    if not little:
        return EXPLICIT_BIG
    return EXPLICIT_LITTLE if said in {IMPLICIT_LITTLE, EXPLICIT_BIG, ""} else said


def _mark(ds: Dataset, rules: Rules) -> None:
    """Say what was done, in codes and in words (PS3.15 E.2, PS3.3 C.12.1, C.7.1.1)."""
    policy = rules.policy
    ds.PatientIdentityRemoved = "YES"
    dates = {"full_dates": "UNMODIFIED", "modified_dates": "MODIFIED"}
    ds.LongitudinalTemporalInformationModified = next((dates[o] for o in dates if o in policy.retain), "REMOVED")
    done = [BASIC_PROFILE, *(CODES[o] for o in CODES if o in policy.options)]
    if policy.safe_private:
        done.append(SAFE_PRIVATE)
    ds.DeidentificationMethodCodeSequence = Sequence([_code(*code) for code in done])
    ds[_METHOD] = DataElement(_METHOD, "LO", [f"PS3.15 {EDITION} Basic Profile", f"{_SEAL}{_seal(ds, rules)}"])


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


def _is_sealed(ds: Dataset, rules: Rules) -> bool:
    said = text_values(ds, _METHOD) if _METHOD in ds else []
    return f"{_SEAL}{_seal(ds, rules)}" in said


def _seal(ds: Dataset, rules: Rules) -> str:
    """Proves that the dates of a file are those that this project's key has written: nobody else can make it."""
    dates = json.dumps([*_dates(ds), str(ds.get("SOPInstanceUID", "")), rules.policy.shifts])
    return rules.pseudonyms.digest("dates of a file", dates.encode())[:24]


def _dates(ds: Dataset) -> Iterator[tuple[int, list[str]]]:
    for key in sorted(ds.keys()):
        vr = vr_of(ds, int(key))
        if vr == "SQ":
            for item in ds[key].value or ():
                yield from _dates(item)
        elif vr in {"DA", "DT"} and not key.is_private:
            yield int(key), text_values(ds, int(key))
