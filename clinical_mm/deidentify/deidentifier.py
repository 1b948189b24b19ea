"""A case as it came -> the same without who it is about, and a report of what was done that tells no value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from pydicom.dataset import Dataset

from clinical_mm.deidentify.burned_in import header_reasons, text_boxes
from clinical_mm.deidentify.dicom import clean_dicom, opened, written
from clinical_mm.deidentify.elements import PATIENT_ID, Rules
from clinical_mm.deidentify.keyed import Pseudonyms
from clinical_mm.deidentify.known import Known
from clinical_mm.deidentify.masking import masked_dicom, masked_raster
from clinical_mm.deidentify.moments import shifted_moment
from clinical_mm.deidentify.notes import FindNames, mask
from clinical_mm.deidentify.policy import Policy
from clinical_mm.deidentify.raster import clean_raster
from clinical_mm.deidentify.report import Box, BurnedIn, Report
from clinical_mm.deidentify.values import text_values
from clinical_mm.errors import Identified
from clinical_mm.importing.case_json import CaseDocument
from clinical_mm.pictures import header as picture_header
from clinical_mm.pictures import media_type, read_picture

_SUFFIXES = {"application/dicom": "dcm", "image/png": "png", "image/jpeg": "jpg"}


@dataclass(frozen=True)
class CleanFile:
    """A file without identity; ``masked``: some of its pixels are black now."""

    name: str
    data: bytes
    masked: bool


@dataclass(frozen=True)
class CleanCase:
    """What may be stored."""

    document: CaseDocument
    files: tuple[CleanFile, ...]
    report: Report


class Deidentifier:
    """Treats cases by one policy under one secret: the same patient always becomes the same pseudonym.

    Args:
        policy: what is kept, cleaned and masked.
        secret: of one project, at least 16 bytes; whoever has it can tell whether a pseudonym is a given patient's.
        names: finds names in notes beyond the rules.
    """

    def __init__(self, policy: Policy, secret: bytes, names: FindNames | None = None) -> None:
        self.policy = policy
        self.pseudonyms = Pseudonyms(secret)
        self._names = names

    def case(self, document: CaseDocument, files: Sequence[bytes]) -> CleanCase:
        """Treat a case and its files.

        Raises:
            UnreadableFile: a file cannot be read or written anew.
            Identified: a picture shows text, and the policy refuses it.
        """
        report, known = Report(), self.known(document, files)
        rules = self._rules(known, document.patient.id)
        cleaned = tuple(self._file(n, data, rules, report) for n, data in enumerate(files))
        return CleanCase(self._document(document, rules, report), cleaned, report)

    def file(self, data: bytes, report: Report, position: int = 0) -> CleanFile:
        """Treat one file by itself; its own PatientID says whose dates they are."""
        known, patient = Known(), ""
        if media_type(data) == "application/dicom":
            ds = opened(data).ds
            known.add_dataset(ds)
            patient = "".join(text_values(ds, PATIENT_ID)) if PATIENT_ID in ds else ""
        return self._file(position, data, self._rules(known, patient), report)

    def look(self, files: Sequence[bytes]) -> Report:
        """What the pixels of files that stay as they are seem to show; raises Identified where that is refused."""
        report = Report()
        for position, data in enumerate(files):
            ds = opened(data).ds if media_type(data) == "application/dicom" else Dataset()
            self._judged(position, header_reasons(ds), text_boxes(read_picture(data).frames), report, may_mask=False)
        return report

    def note(self, note: str, patient: str, report: Report) -> str:
        """Mask a note of a patient who is known by id or pseudonym alone."""
        rules = self._rules(Known(), patient)
        masked = mask(note, rules.known, self.policy, rules.days, self._names)
        report.note.update(masked.counts)
        return masked.text

    def moment(self, moment: datetime, patient: str) -> datetime | None:
        """A moment as it may be kept; None where no date is."""
        if "full_dates" in self.policy.retain:
            return moment
        return shifted_moment(moment, self._days(patient)) if self.policy.shifts else None

    @staticmethod
    def known(document: CaseDocument, files: Sequence[bytes]) -> Known:
        """Who the patient and the staff are, as the case and all of its headers say."""
        known = Known()
        for said in (document.patient.id, document.external_id):
            known.add_id(said or "")
        for data in files:
            if media_type(data) == "application/dicom":
                known.add_dataset(opened(data).ds)
        return known

    def _rules(self, known: Known, patient: str) -> Rules:
        days = self._days(patient)
        return Rules(
            policy=self.policy,
            pseudonyms=self.pseudonyms,
            known=known,
            days=days,
            clean=lambda text: mask(text, known, self.policy, days, self._names).text,
        )

    def _days(self, patient: str) -> int:
        return self.pseudonyms.days(patient, self.policy.shift_days) if self.policy.shifts else 0

    def _document(self, document: CaseDocument, rules: Rules, report: Report) -> CaseDocument:
        clean = document.model_copy(deep=True)
        clean.patient.id = self.pseudonyms.code("p", document.patient.id)
        if document.external_id is not None:
            clean.external_id = self.pseudonyms.code("x", document.external_id)
        if document.acquired_at is not None:
            clean.acquired_at = self.moment(document.acquired_at, document.patient.id)
        if (age := document.patient.age_years) is not None and age >= self.policy.oldest_age + 1:
            clean.patient.age_years = float(self.policy.oldest_age + 1)
        if document.note is not None:
            masked = mask(document.note, rules.known, self.policy, rules.days, self._names)
            clean.note, report.note = masked.text, masked.counts
        changed = {
            "/patient/id": clean.patient.id != document.patient.id,
            "/patient/age_years": clean.patient.age_years != document.patient.age_years,
            "/external_id": clean.external_id != document.external_id,
            "/acquired_at": clean.acquired_at != document.acquired_at,
            "/note": clean.note != document.note,
        }
        report.fields.extend(pointer for pointer, is_other in changed.items() if is_other)
        return clean

    def _file(self, position: int, data: bytes, rules: Rules, report: Report) -> CleanFile:
        kind = media_type(data)
        if kind == "application/dicom":
            clean, masked = self._dicom(position, data, rules, report)
        else:
            clean, removed = clean_raster(data, kind)
            report.counts["metadata"] += removed
            clean, masked = self._raster(position, clean, report)
        return CleanFile(f"file-{position + 1}.{_SUFFIXES[media_type(clean)]}", clean, masked)

    def _dicom(self, position: int, data: bytes, rules: Rules, report: Report) -> tuple[bytes, bool]:
        file = opened(data)
        reasons = header_reasons(file.ds)
        clean = clean_dicom(file, rules, report)
        if not any(k in file.ds for k in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
            return clean, False
        frames = read_picture(clean).frames
        found = (*text_boxes(frames), *self._regions(file.ds, frames))
        masks = self._judged(position, reasons, found, report)
        if masks:
            return masked_dicom(clean, found), True
        if found and picture_header.text(file.ds, "BurnedInAnnotation") != "YES":
            file = opened(clean)
            file.ds.BurnedInAnnotation = "YES"
            clean = written(file)
        return clean, False

    def _raster(self, position: int, data: bytes, report: Report) -> tuple[bytes, bool]:
        found = text_boxes(read_picture(data).frames)
        return (masked_raster(data, found), True) if self._judged(position, (), found, report) else (data, False)

    def _judged(
        self,
        position: int,
        reasons: tuple[str, ...],
        boxes: tuple[Box, ...],
        report: Report,
        *,
        may_mask: bool = True,
    ) -> bool:
        """Tell of text in the pixels, and whether it is to be made black; raises Identified where that is refused."""
        told = (*reasons, *(("marks in a row, as letters stand",) if boxes else ()))
        if not told:
            return False
        if self.policy.burned_in == "refuse":
            where = f"/files/{position}"
            raise Identified(f"file {position} may show text in its pixels: {', '.join(told)}", where)
        masks = may_mask and bool(boxes) and self.policy.burned_in == "mask"
        report.burned_in.append(BurnedIn(position, told, boxes, masks))
        return masks

    def _regions(self, ds: Dataset, frames: np.ndarray) -> list[Box]:
        """The boxes that the policy makes black in pictures of this modality."""
        rows, columns = frames.shape[1:]
        modality = picture_header.text(ds, "Modality")
        scale = (columns, rows, columns, rows)
        wanted = [r.box for r in self.policy.mask_regions if r.modality in {None, modality}]
        boxes = [tuple(round(share * side) for share, side in zip(box, scale, strict=True)) for box in wanted]
        return [(left, top, right, bottom) for left, top, right, bottom in boxes if left < right and top < bottom]
