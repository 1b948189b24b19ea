"""FHIR R4 bundles (JSON, or .json.gz): Patient, Observation by LOINC, notes, Condition by SNOMED CT or ICD-10.

One case a patient: the newest value of each vital the catalogue holds, the newest note, the diagnoses it codes. One
without conditions gives an unlabelled case.
Source: HL7 FHIR R4 - Bundle, Patient, Observation, DocumentReference, DiagnosticReport, Condition.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from clinical_mm.case import Case, Patient, Sex
from clinical_mm.catalogue import Catalogue
from clinical_mm.errors import ClinicalMMError, ImplausibleValue, UnitMismatch
from clinical_mm.importing.outcome import Imported, Refused

LOINC = "http://loinc.org"
SEXES: dict[str, Sex] = {"female": "F", "male": "M", "other": "O", "unknown": "U"}
Resource = Mapping[str, Any]


def read_fhir(path: Path, catalogue: Catalogue) -> Iterator[Imported]:
    """Cases of one bundle, or of every bundle in a folder.

    Raises:
        FileNotFoundError: no JSON file there.
    """
    files = [path] if path.is_file() else sorted([*path.glob("*.json"), *path.glob("*.json.gz")])
    if not files:
        raise FileNotFoundError(f"no FHIR bundle (.json, .json.gz) under {path}")
    for file in files:
        try:
            yield from _read_bundle(_load(file), file.name, catalogue)
        except (ClinicalMMError, ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            yield Refused(file.name, f"not a usable FHIR bundle: {error}")


def _load(file: Path) -> Any:
    data = file.read_bytes()
    return json.loads(gzip.decompress(data) if file.suffix == ".gz" else data)


def _read_bundle(bundle: Any, name: str, catalogue: Catalogue) -> Iterator[Imported]:
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        yield Refused(name, "not a FHIR Bundle")
        return
    resources = [(e.get("fullUrl", ""), e["resource"]) for e in bundle.get("entry", []) if "resource" in e]
    patients = [(url, r) for url, r in resources if r["resourceType"] == "Patient"]
    if not patients:
        yield Refused(name, "the bundle holds no Patient")
    for url, patient in patients:
        names = {url, f"Patient/{patient.get('id', '')}"}
        own = [r for _, r in resources if r.get("subject", {}).get("reference") in names]
        try:
            yield _case(patient, own, catalogue)
        except ClinicalMMError as error:
            yield Refused(f"{name} Patient/{patient.get('id', '')}", str(error))


def _case(patient: Resource, own: Sequence[Resource], catalogue: Catalogue) -> Case:
    identity = str(patient.get("id") or patient["identifier"][0]["value"])
    return Case(
        external_id=f"fhir-{identity}"[:200],
        patient=Patient(identity, SEXES.get(str(patient.get("gender"))), _age(patient, own)),
        note=_note(own),
        vitals=_vitals(own, catalogue),
        diagnoses=_diagnoses(own, catalogue),
    )


def _vitals(own: Sequence[Resource], catalogue: Catalogue) -> dict[str, float]:
    by_loinc = {v.loinc: v.name for v in catalogue.vitals}
    found: dict[str, float] = {}
    for observation in sorted((r for r in own if r["resourceType"] == "Observation"), key=_moment):
        for part in (observation, *observation.get("component", [])):
            quantity = part.get("valueQuantity") or {}
            names = [by_loinc[c["code"]] for c in _codings(part, LOINC) if c.get("code") in by_loinc]
            if not names or "value" not in quantity:
                continue
            unit = quantity.get("code") or quantity.get("unit")
            try:
                found[names[0]] = catalogue.measure(names[0], float(quantity["value"]), unit)
            except (UnitMismatch, ImplausibleValue):  # one odd value must not cost the patient's other ones
                continue
    return found


def _diagnoses(own: Sequence[Resource], catalogue: Catalogue) -> tuple[str, ...] | None:
    conditions = [r for r in own if r["resourceType"] == "Condition"]
    if not conditions:
        return None
    codes = {str(c.get("code", "")) for r in conditions for c in r.get("code", {}).get("coding", [])}
    return tuple(d.code for d in catalogue.diagnoses if d.snomed in codes or d.icd10 in codes)


def _note(own: Sequence[Resource]) -> str | None:
    told = [r for r in own if r["resourceType"] in {"DocumentReference", "DiagnosticReport"}]
    texts = [text for r in sorted(told, key=_moment) for text in _texts(r)]
    return texts[-1] if texts else None


def _texts(resource: Resource) -> Iterator[str]:
    attachments = [c["attachment"] for c in resource.get("content", []) if "attachment" in c]
    for attachment in (*attachments, *resource.get("presentedForm", [])):
        if str(attachment.get("contentType", "")).startswith("text/plain") and attachment.get("data"):
            try:
                yield base64.b64decode(attachment["data"], validate=True).decode("utf-8")
            except (binascii.Error, UnicodeDecodeError):
                continue
    if resource.get("conclusion"):
        yield str(resource["conclusion"])


def _age(patient: Resource, own: Sequence[Resource]) -> float | None:
    born, newest = str(patient.get("birthDate", "")), max((_moment(r) for r in own), default="")
    if len(born) < 10 or len(newest) < 10:
        return None
    days = (date.fromisoformat(newest[:10]) - date.fromisoformat(born[:10])).days
    return round(days / 365.25, 1) if days >= 0 else None


def _moment(resource: Resource) -> str:
    keys = ("effectiveDateTime", "issued", "date", "onsetDateTime", "recordedDate")
    return next((str(resource[k]) for k in keys if resource.get(k)), "")


def _codings(part: Resource, system: str) -> list[Mapping[str, Any]]:
    return [c for c in part.get("code", {}).get("coding", []) if c.get("system") == system]
