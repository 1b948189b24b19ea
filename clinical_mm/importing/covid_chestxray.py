"""The public repository ieee8023/covid-chestxray-dataset: ``metadata.csv`` and ``images/`` of its checkout.

One case is one patient at one moment (``patientid`` and ``offset``), with the images of that moment as they are listed.
Source: Cohen et al., 2020 (arXiv:2006.11988); metadata CC BY-NC-SA 4.0, each image under its own licence.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from clinical_mm.case import Case, ImageFile, Patient, Sex
from clinical_mm.catalogue import Catalogue
from clinical_mm.errors import ClinicalMMError
from clinical_mm.importing.outcome import Imported, Refused

METADATA, IMAGES = "metadata.csv", "images"

VITALS = {
    "temperature": "temperature",
    "pO2_saturation": "spo2",
    "leukocyte_count": "wbc",
    "neutrophil_count": "neutrophils",
    "lymphocyte_count": "lymphocytes",
}
"""Column -> catalogue name; the columns are in the catalogue's units (Cel, %, 10*9/L)."""

FINDINGS = {
    "covid-19": ("covid-19",),
    "sars": ("pneumonia",),
    "mers-cov": ("pneumonia",),
    "ards": ("ards",),
    "pneumocystis": ("pneumocystis-pneumonia",),
    "tuberculosis": ("tuberculosis",),
    "pneumonia": ("pneumonia",),
    "no finding": (),
}
"""The last part of ``finding`` that is known decides: ``Pneumonia/Viral/COVID-19`` is COVID-19."""

UNLABELLED = {"", "todo", "unknown"}


def read_covid_chestxray(folder: Path, catalogue: Catalogue) -> Iterator[Imported]:
    """Cases of a checkout; what has no readable image, note or vital is refused with its row.

    Raises:
        FileNotFoundError: there is no ``metadata.csv``.
    """
    groups: dict[tuple[str, str], list[tuple[int, dict[str, str]]]] = {}
    with (folder / METADATA).open(encoding="utf-8-sig", newline="") as lines:
        for number, row in enumerate(csv.DictReader(lines), start=2):
            clean = {key: (value or "").strip() for key, value in row.items() if key}
            if not clean.get("patientid"):
                yield Refused(f"{METADATA} line {number}", "no patientid")
                continue
            groups.setdefault((clean["patientid"], clean.get("offset", "")), []).append((number, clean))
    for (patient, offset), rows in groups.items():
        try:
            yield _case(patient, offset, [row for _, row in rows], folder, catalogue)
        except (ClinicalMMError, ValueError) as error:
            yield Refused(f"{METADATA} line {rows[0][0]} (patient {patient}, offset {offset or 'unknown'})", str(error))


def _case(patient: str, offset: str, rows: Sequence[Mapping[str, str]], folder: Path, catalogue: Catalogue) -> Case:
    first = rows[0]
    notes = [row["clinical_notes"] for row in rows if row.get("clinical_notes")]
    images = (folder / IMAGES / row["filename"] for row in rows if row.get("filename"))
    return Case(
        external_id=f"covid-chestxray-{patient}-{offset or 'unknown'}",
        patient=Patient(f"covid-chestxray-{patient}", _sex(first.get("sex", "")), _number(first.get("age", ""))),
        note=notes[0] if notes else None,
        vitals=_vitals(rows, catalogue),
        images=tuple(ImageFile(path.name, path) for path in images if path.is_file() and _is_picture(path)),
        diagnoses=diagnoses_of(first.get("finding", "")),
    )


def diagnoses_of(finding: str) -> tuple[str, ...] | None:
    """Catalogue codes of a ``finding``; None = unlabelled, or nothing that the catalogue holds.

    ``Pneumonia/Viral/COVID-19`` -> ``("covid-19",)``; ``COVID-19, ARDS`` -> both.
    """
    if finding.lower() in UNLABELLED:
        return None
    codes: list[str] = []
    for part in finding.split(","):
        known = [FINDINGS[name] for name in (p.strip().lower() for p in part.split("/")) if name in FINDINGS]
        if not known:
            return None
        codes.extend(known[-1])
    return tuple(dict.fromkeys(codes))


def _vitals(rows: Sequence[Mapping[str, str]], catalogue: Catalogue) -> dict[str, float]:
    found: dict[str, float] = {}
    for row in rows:
        for column, name in VITALS.items():
            value = _number(row.get(column, ""))
            if value is not None and name not in found:
                found[name] = catalogue.measure(name, value, pointer=f"/vitals/{name}")
    return found


def _sex(value: str) -> Sex | None:
    known: dict[str, Sex] = {"F": "F", "M": "M"}
    return known.get(value.upper())


def _number(text: str) -> float | None:
    return float(text) if text else None


def _is_picture(path: Path) -> bool:
    """CT volumes of the repository are NIfTI (``.nii.gz``), which is not read here."""
    return not path.name.endswith((".nii", ".nii.gz"))
