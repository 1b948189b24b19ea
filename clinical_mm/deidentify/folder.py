"""A folder of files, or of cases, -> the same without identity, in another folder. No name of a file is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pydicom import dcmread

from clinical_mm.case import Case, ImageFile
from clinical_mm.catalogue import Catalogue
from clinical_mm.deidentify.deidentifier import Deidentifier
from clinical_mm.deidentify.report import Report
from clinical_mm.errors import ClinicalMMError
from clinical_mm.importing.case_json import CaseDocument, case_to_json
from clinical_mm.importing.folder import CASES, read_folder, write_folder
from clinical_mm.importing.outcome import Refused
from clinical_mm.pictures import media_type

REPORT = "deidentification.json"


@dataclass(frozen=True)
class Treated:
    """What became of a file or a case: where it lies now, or why it was left out."""

    source: str
    target: str | None
    reason: str = ""
    shows_text: bool = False


def deidentify_files(source: Path, target: Path, by: Deidentifier) -> Iterator[Treated]:
    """Treat every file below ``source`` by itself; what is no picture or cannot be read is left out, and told.

    Raises:
        OSError: a file cannot be read or written.
    """
    report, number = Report(), 0
    files = [source] if source.is_file() else sorted(p for p in source.rglob("*") if p.is_file())
    for path in files:
        name = path.name if source.is_file() else str(path.relative_to(source))
        told = len(report.burned_in)
        try:
            data = path.read_bytes()
            clean = by.file(data, report, number)
        except ClinicalMMError as error:
            yield Treated(name, None, str(error))
            continue
        number += 1
        folder = _patient(clean.data)
        written = f"{folder}/{number:06d}{Path(clean.name).suffix}"
        (target / folder).mkdir(parents=True, exist_ok=True)
        (target / written).write_bytes(clean.data)
        yield Treated(name, written, shows_text=len(report.burned_in) > told)
    _write_report(target, report, by)


def deidentify_cases(source: Path, target: Path, by: Deidentifier, catalogue: Catalogue) -> Iterator[Treated]:
    """Treat the cases of a folder with ``cases.jsonl``; the other folder has one too, so it can be imported."""
    report, outcomes = Report(), list[Treated]()

    def treated() -> Iterator[Case]:
        for item in read_folder(source, catalogue):
            if isinstance(item, Refused):
                outcomes.append(Treated(item.where, None, item.reason))
                continue
            try:
                clean = by.case(CaseDocument.model_validate(case_to_json(item)), [i.read() for i in item.images])
            except ClinicalMMError as error:
                outcomes.append(Treated(f"case {len(outcomes) + 1}", None, str(error)))
                continue
            report.add(clean.report)
            images = [ImageFile(file.name, file.data) for file in clean.files]
            outcomes.append(
                Treated(f"case {len(outcomes) + 1}", clean.document.patient.id, "", bool(clean.report.burned_in))
            )
            yield clean.document.to_case(catalogue, images)

    write_folder(treated(), target)
    _write_report(target, report, by)
    yield from outcomes


def holds_cases(source: Path) -> bool:
    """Whether a folder is one of cases."""
    return (source / CASES).is_file()


def _patient(data: bytes) -> str:
    if media_type(data) != "application/dicom":
        return "pictures"
    return str(dcmread(BytesIO(data), specific_tags=["PatientID"]).get("PatientID") or "no-patient")


def _write_report(target: Path, report: Report, by: Deidentifier) -> None:
    told = report.to_json(by.policy, by.pseudonyms.fingerprint)
    target.mkdir(parents=True, exist_ok=True)
    (target / REPORT).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
