"""Whether a case tells who it is about: for projects that let nothing identifying in, whoever sends it.

Dates and UIDs are left to the sender where the policy keeps or moves them; a file that says (0012,0062) YES may hold
pseudonyms in place of names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset

from clinical_mm.deidentify.deidentifier import Deidentifier
from clinical_mm.deidentify.dicom import opened
from clinical_mm.deidentify.elements import PATIENT_AGE
from clinical_mm.deidentify.notes import identifiers
from clinical_mm.deidentify.policy import Policy
from clinical_mm.deidentify.raster import clean_raster
from clinical_mm.deidentify.report import named
from clinical_mm.deidentify.table import Action, table
from clinical_mm.deidentify.values import text_values, vr_of
from clinical_mm.errors import Identified
from clinical_mm.importing.case_json import CaseDocument
from clinical_mm.pictures import media_type
from clinical_mm.pictures.decoding import reading

_MOST_TOLD = 12


def refuse_identified(document: CaseDocument, files: Sequence[bytes], policy: Policy) -> None:
    """Raise Identified, with a pointer to each place and the names of what stands there, never its value."""
    faults = [*_document_faults(document, files, policy)]
    for position, data in enumerate(files):
        told = _file_faults(data, policy)
        if told:
            more = f" and {len(told) - _MOST_TOLD} more" if len(told) > _MOST_TOLD else ""
            faults.append((f"/files/{position}", f"holds {', '.join(told[:_MOST_TOLD])}{more}"))
    if faults:
        detail = "this project takes cases only without identity: de-identify them, `clinical-mm deidentify` does"
        raise Identified(detail, faults[0][0], faults)


def _document_faults(document: CaseDocument, files: Sequence[bytes], policy: Policy) -> Iterator[tuple[str, str]]:
    if (document.patient.age_years or 0) > policy.oldest_age + 1:
        yield "/patient/age_years", f"is above {policy.oldest_age}; send {policy.oldest_age + 1} at most"
    kinds = {kind for _, _, kind in identifiers(document.note or "", Deidentifier.known(document, files))}
    if kinds:
        yield "/note", f"holds what looks like {', '.join(sorted(kinds))}"


def _file_faults(data: bytes, policy: Policy) -> list[str]:
    kind = media_type(data)
    if kind != "application/dicom":
        removed = clean_raster(data, kind)[1]
        return ["metadata beside the pixels"] if removed else []
    with reading("the DICOM header"):
        ds = opened(data).ds
        treated = str(ds.get("PatientIdentityRemoved", "")) == "YES"
        return sorted(set(_identifying(ds, policy, treated=treated)))


def _identifying(ds: Dataset, policy: Policy, *, treated: bool) -> Iterator[str]:
    for key in list(ds.keys()):
        tag = int(key)
        if key.is_private:
            yield "private attributes"
            continue
        vr, action = vr_of(ds, tag), table().action(tag, policy.options)
        if vr == "SQ" and action is not Action.REMOVE:
            for item in ds[key].value or ():
                yield from _identifying(item, policy, treated=treated)
        elif action is Action.REMOVE or (action in {Action.EMPTY, Action.DUMMY} and not treated):
            if vr != "UI" and (vr == "SQ" or ds.get_item(key).value):
                yield named(tag)
        elif tag == PATIENT_AGE and text_values(ds, tag) and text_values(ds, tag)[0] > f"{policy.oldest_age + 1:03d}Y":
            yield named(tag)
