"""Warnings at prediction: how often planted faults are told, and how often untouched cases are warned of."""

from __future__ import annotations

import csv
import gzip
import io
import re
import statistics
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from benchmarks import faults
from benchmarks.faults import Fault
from clinical_mm.case import Case, Patient
from clinical_mm.catalogue import Catalogue
from clinical_mm.cautions import Seen
from clinical_mm.cautions.impossible_vitals import ImpossibleVitals
from clinical_mm.cautions.language import Language
from clinical_mm.cautions.unusual_vitals import UnusualVitals
from clinical_mm.config import ModelConfig
from clinical_mm.importing.folder import write_folder
from clinical_mm.phantom import draw
from clinical_mm.predictor import Predictor, load_model
from clinical_mm.training.run import train

TITLE = "Warnings at prediction: planted faults and false alarms"
DATA = Path(__file__).parents[2] / "shared" / "data"
TAUGHT, EPOCHS, UNTOUCHED, SPOILT, SEED = 600, 8, 500, 100, 0

VITALS = {"HR": "heart_rate", "O2Sat": "spo2", "Temp": "temperature", "SBP": "systolic_bp", "DBP": "diastolic_bp"}
VITALS |= {"Resp": "respiratory_rate", "pH": "arterial_ph", "PaCO2": "paco2", "BUN": "urea_nitrogen", "WBC": "wbc"}
VITALS |= {"Creatinine": "creatinine", "Glucose": "glucose", "Lactate": "lactate", "Potassium": "potassium"}
VITALS |= {"Bilirubin_total": "bilirubin", "Hgb": "haemoglobin", "Platelets": "platelets"}
"""Columns of the hourly table whose unit is the catalogue's."""


def run() -> str:
    with tempfile.TemporaryDirectory() as folder:
        model = _trained(Path(folder))
        untouched = [d.case for d in draw(UNTOUCHED, SEED + 1000)]
        whole = [case for case in untouched if case.images and case.note and case.vitals]
        head = (
            f"{TAUGHT} synthetic cases, {EPOCHS} epochs of the small configuration, seed {SEED}; warnings on missing "
            "evidence are left out. 95 % Wilson intervals."
        )
        parts = [head, _planted(model, whole), _false_alarms(model, untouched), _real(), _time_taken(model, whole[:32])]
    return "\n\n".join(parts)


def _trained(folder: Path) -> Predictor:
    write_folder((d.case for d in draw(TAUGHT, SEED)), folder / "snapshot")
    config = ModelConfig.load("small", {"training.epochs": EPOCHS})
    return load_model(train(config, folder / "snapshot", folder / "out", progress=lambda _: None).folder)


def planted() -> dict[str, Fault | None]:
    """Each fault by what it is called; None where it needs real files that are absent."""
    return {
        "blank film (one brightness)": faults.film(lambda p: np.full_like(p, 1500)),
        "black film": faults.film(np.zeros_like),
        "noise in place of the film": faults.picture(faults.noise),
        "inverted film": faults.film(lambda p: 3000 - p),
        "film turned by 90°": faults.film(np.rot90),
        "film upside down": faults.film(np.flipud),
        "a quarter of the film": faults.film(faults.quarter),
        "header says HAND": faults.film(lambda p: p, BodyPartExamined="HAND"),
        "hand-like picture without a header": faults.picture(faults.hand),
        "real CT slices": faults.files(DATA / "dicom", modality="CT"),
        "the same without their header": faults.files(DATA / "dicom", bare=True, modality="CT"),
        "real chest X-rays (the model saw drawn ones)": faults.files(DATA / "cxr_cases" / "images"),
        "German note": faults.note(faults.GERMAN),
        "French note": faults.note(faults.FRENCH),
        "Spanish note": faults.note(faults.SPANISH),
        "English note about something else": faults.note(faults.SOMETHING_ELSE),
        "real English notes of other departments": faults.note(found) if (found := _transcribed()) else None,
        "systolic and diastolic swapped": faults.swapped("systolic_bp", "diastolic_bp"),
        "heart and respiratory rate swapped": faults.swapped("heart_rate", "respiratory_rate"),
        "lactate in mg/dL taken for mmol/L": faults.scaled("lactate", 9.01),
        "creatinine, point lost (x 10)": faults.scaled("creatinine", 10),
        "creatinine in umol/L taken for mg/dL": faults.scaled("creatinine", 88.4),
        "haemoglobin in mmol/L taken for g/dL": faults.scaled("haemoglobin", 0.6206),
        "NT-proBNP in pmol/L taken for pg/mL": faults.scaled("nt_probnp", 0.118),
        "all values permuted": faults.permuted,
    }


def _planted(model: Predictor, whole: Sequence[Case]) -> str:
    rng = np.random.default_rng(SEED)
    lines = ["| planted fault | cases | warned | by |", "|---|---|---|---|"]
    for name, fault in planted().items():
        if fault is None:
            lines.append(f"| {name} | | real files absent | |")
            continue
        spoilt = list(islice((bad for case in whole if (bad := fault(case, rng)) is not None), SPOILT))
        told = _codes(model, spoilt)
        codes = Counter(code for codes in told for code in codes)
        by = ", ".join(f"{code} {n}" for code, n in codes.most_common()) or "-"
        share = _share(sum(map(bool, told)), len(told)) if told else "every one is refused (422)"
        lines.append(f"| {name} | {len(told)} | {share} | {by} |")
    return "\n".join(lines)


def _false_alarms(model: Predictor, untouched: Sequence[Case]) -> str:
    told = _codes(model, untouched)
    lines = [f"False alarms on {len(untouched)} untouched synthetic cases:", "", "| warning | cases |", "|---|---|"]
    lines.append(f"| any | {_share(sum(map(bool, told)), len(told))} |")
    codes = Counter(code for codes in told for code in codes)
    return "\n".join([*lines, *(f"| {code} | {_share(n, len(told))} |" for code, n in codes.most_common())])


def _codes(model: Predictor, cases: Sequence[Case]) -> list[set[str]]:
    answers = model.predict(cases)
    return [{w.code for w in answer.warnings if not w.code.endswith("-missing")} for answer in answers]


def _share(count: int, of: int) -> str:
    interval = binomtest(count, of).proportion_ci(0.95, method="wilson")
    return f"{count}/{of} = {count / of:.1%} [{interval.low:.1%} to {interval.high:.1%}]"


def _real() -> str:
    lines = ["False alarms on real English notes and on real values, learned from English and from other patients:", ""]
    lines += ["| check | on | warned |", "|---|---|---|"]
    for name, notes in {
        "MTSamples": _transcribed(),
        "chest X-ray cases": _case_notes(),
        "IU reports": _reports(),
    }.items():
        lines.append(f"| other-language | notes of {name} | {_language(notes) if notes else 'absent'} |")
    patients = list(_hourly())
    lines.append(
        f"| unusual-vital | a patient's newest values, sepsis 2019 | {_unusual(patients) if patients else 'absent'} |"
    )
    lines.append(f"| impossible-vitals | the same | {_impossible(patients) if patients else 'absent'} |")
    return "\n".join(lines)


def _language(notes: Sequence[str]) -> str:
    check = Language(("text",), Catalogue.load())
    check.load({"notes": {"en": 1}}, {})
    return _share(sum(bool(list(check.cautions(_seen(note=note)))) for note in notes), len(notes))


def _unusual(patients: Sequence[Mapping[str, float]]) -> str:
    check = UnusualVitals(("vitals",), Catalogue.load())
    check.fit([_seen(vitals=values) for values in patients[::2]])
    judged = patients[1::2]
    return _share(sum(bool(list(check.cautions(_seen(vitals=values)))) for values in judged), len(judged))


def _impossible(patients: Sequence[Mapping[str, float]]) -> str:
    check = ImpossibleVitals(("vitals",), Catalogue.load())
    return _share(sum(bool(list(check.cautions(_seen(vitals=values)))) for values in patients), len(patients))


def _seen(**evidence: Any) -> Seen:
    case = Case(Patient("p"), **evidence)
    return Seen(case, {"text": {} if case.note else None, "vitals": {} if case.vitals else None})


def _transcribed() -> list[str]:
    path = DATA / "mtsamples" / "notes.csv.gz"
    return [row["text"] for row in _rows(path) if row["text"].strip()] if path.exists() else []


def _case_notes() -> list[str]:
    path = DATA / "cxr_cases" / "cases.csv"
    return (
        sorted({row["clinical_note"] for row in _rows(path) if row["clinical_note"].strip()}) if path.exists() else []
    )


def _reports() -> list[str]:
    path = DATA / "iu_cxr_reports" / "reports.tgz"
    return [text for text in _abstracts(path) if text.strip()] if path.exists() else []


def _abstracts(path: Path) -> Iterator[str]:
    with tarfile.open(path) as archive:
        for member in archive:
            if member.name.endswith(".xml") and (file := archive.extractfile(member)) is not None:
                text = file.read().decode("utf-8", errors="replace")
                yield " ".join(re.findall(r"<AbstractText[^>]*>([^<]+)<", text))


def _hourly() -> Iterator[dict[str, float]]:
    """Each patient's newest value of each vital, as far as plausible: others are refused before."""
    path = DATA / "sepsis2019" / "vitals_labs_hourly.csv.gz"
    catalogue = Catalogue.load()
    patients: dict[str, dict[str, float]] = {}
    for row in _rows(path) if path.exists() else ():
        told = {VITALS[c]: float(v) for c, v in row.items() if c in VITALS and v}
        kept = {name: v for name, v in told.items() if v in catalogue.vital(name).plausible}
        patients.setdefault(row["patient_id"], {}).update(kept)
    yield from (values for values in patients.values() if values)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    csv.field_size_limit(10**7)
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    yield from csv.DictReader(io.StringIO(data.decode("utf-8")))


def _time_taken(model: Predictor, cases: Sequence[Case]) -> str:
    samples = [model.read(case) for case in cases]
    answers = model._forward(samples)
    whole, checks = [], []
    for _ in range(7):
        started = time.perf_counter()
        model.predict(cases)
        whole.append(time.perf_counter() - started)
        started = time.perf_counter()
        for row, (case, sample) in enumerate(zip(cases, samples, strict=True)):
            model.bundle.checks.cautions(Seen(case, sample, answers.states(row, sample)))
        checks.append(time.perf_counter() - started)
    total, part = statistics.median(whole), statistics.median(checks)
    return (
        f"Time: a prediction of {len(cases)} cases takes {1000 * total:.0f} ms, of which all checks together take "
        f"{1000 * part:.1f} ms ({part / total:.1%}); medians of 7."
    )


if __name__ == "__main__":
    print(run())
