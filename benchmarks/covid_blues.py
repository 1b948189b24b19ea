"""Real cases of lung ultrasound, vitals and labs (target A6): COVID-19 by PCR or not, 5-fold by patient.

What a clinician has at admission enters: vitals and labs in our catalogue's units, a few frames of the ultrasound video
as images, and the ticked boxes of symptoms and history written out as a note. What follows the diagnosis does not:
diagnoses, tests, wards, outcomes, lengths of stay, oxygen therapy, vaccination. Readers' severity scores and comments
on the videos stay out too: it is not told whether they knew the test.
"""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.real_study import (
    FOLDS,
    SEED,
    Features,
    Study,
    boosting,
    linear,
    missing,
    network_of_two_layers,
)
from clinical_mm.case import Case, ImageFile, Patient
from clinical_mm.catalogue import Catalogue
from clinical_mm.config import ModelConfig
from clinical_mm.errors import ImplausibleValue

TITLE = "Real ultrasound cases with vitals and labs: COVID-19 by PCR or not (A6)"
SOURCE = Path(__file__).parents[2] / "shared" / "data" / "covid_blues"
MISSING = -99.0
VITALS = {
    "respiratory_rate": ("respiratory_rate", "/min"),
    "pulse": ("heart_rate", "/min"),
    "oxygen_saturation_without_ox": ("spo2", "%"),
    "body_temperature": ("temperature", "Cel"),
    "sys_bp": ("systolic_bp", "mm[Hg]"),
    "dias_bp": ("diastolic_bp", "mm[Hg]"),
    "pat_weight": ("weight", "kg"),
    "leucocytes_find": ("wbc", "10*9/L"),
    "absolute_lymphocytes": ("lymphocytes", "10*9/L"),
    "hg_find": ("haemoglobin", "mmol/L"),
    "trombocytes_find": ("platelets", "10*9/L"),
    "CRP": ("crp", "mg/L"),
    "LDH_find": ("ldh", "U/L"),
    "pH_find": ("arterial_ph", "[pH]"),
    "pO2_find": ("pao2", "kPa"),
    "pCO2_find": ("paco2", "kPa"),
}
"""Column -> our name and the UCUM unit it is in (``variable_explanations.csv``; haemoglobin as the monomer)."""
SYMPTOM, HISTORY = "patient_symp#", "oth_comorbidities#"
LEAKS = (
    "clin_diagn#",
    "PCR_CT",
    "test_meth_covid#",
    "ward_transfer",
    "Transfer",
    "stay_",
    "outcome",
    "los_",
    "discharge_to",
    "duration_oxy",
    "oxygen_",
    "C19_vacc",
)
"""How columns begin that follow the diagnosis; ``oxygen_saturation_without_ox``, measured before, is the exception."""
FRAMES = 3
TARGET = 0.86
VITALS_ALONE = "ours, vitals and labs alone"
_INNER_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def read_cases(source: Path, frames: Path) -> tuple[list[Case], list[str]]:
    """One case a patient, its frames written as PNG under ``frames``; and the values that were left out, and why."""
    if not (source / "clinical_variables.csv").is_file():
        raise FileNotFoundError(f"no clinical_variables.csv under {source}")
    left_out: list[str] = []
    with (source / "clinical_variables.csv").open(encoding="utf-8", newline="") as lines:
        rows = [{k: v for k, v in row.items() if k == "cov_test" or may_enter(k)} for row in csv.DictReader(lines)]
    cases = []
    for row in rows:
        patient = row["patient_id"]
        pictures = [p for video in _videos(source, patient)[:1] for p in write_frames(video, frames)]
        vitals, refused = measured(row)
        left_out += [f"patient {patient}: {why}" for why in refused]
        cases.append(
            Case(
                external_id=f"blues-{patient}",
                patient=Patient(patient, {0.0: "F", 1.0: "M"}[float(row["pat_sex"])], _number(row["pat_age"])),  # type: ignore[arg-type]
                note=written_out(row),
                vitals=vitals,
                images=tuple(ImageFile(p.name, p) for p in pictures),
                diagnoses=("covid-19",) if row["cov_test"] == "1" else (),
            )
        )
    return cases, left_out


def may_enter(column: str) -> bool:
    """Whether a column is known at admission, before the test."""
    return column == "oxygen_saturation_without_ox" or not column.startswith((*LEAKS, "cov_test"))


def measured(row: Mapping[str, str]) -> tuple[dict[str, float], list[str]]:
    """Vitals and labs in the catalogue's units, and why values were refused."""
    catalogue = Catalogue.load()
    vitals, refused = {}, []
    for column, (name, unit) in VITALS.items():
        value = _number(row[column])
        if value is None:
            continue
        try:
            vitals[name] = catalogue.measure(name, value, unit)
        except ImplausibleValue as error:
            refused.append(str(error))
    return vitals, refused


def written_out(row: Mapping[str, str]) -> str:
    """Ticked boxes as a note."""
    days = _number(row["dur_symp"])
    smoking = {0.0: "never smoked", 1.0: "former smoker", 2.0: "smoker"}
    said = [
        f"Symptoms{'' if days is None else f' for {days:g} days'}: {_ticked(row, SYMPTOM) or 'none'}.",
        f"History: {_ticked(row, HISTORY) or 'none'}.",
        f"Smoking: {smoking.get(_number(row['dx_his_smoke']) or 0.0, 'unknown')}.",
    ]
    return " ".join(said)


def write_frames(video: Path, folder: Path) -> list[Path]:
    """Evenly spaced frames of a video as grey PNG files."""
    import cv2

    stream = cv2.VideoCapture(str(video))
    count = int(stream.get(cv2.CAP_PROP_FRAME_COUNT))
    written = []
    for number in np.linspace(0, count - 1, FRAMES + 2)[1:-1].round().astype(int):
        stream.set(cv2.CAP_PROP_POS_FRAMES, int(number))
        there, frame = stream.read()
        if there:
            path = folder / f"{video.stem}-{number}.png"
            cv2.imwrite(str(path), cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY))
            written.append(path)
    stream.release()
    return written


def run() -> str:
    """The table, as markdown."""
    with tempfile.TemporaryDirectory() as folder:
        cases, left_out = read_cases(SOURCE, Path(folder))
        study = Study(cases, "covid-19")
        sides = _sides(study)
        everything = next(iter(sides))
        regions = [_region(case.external_id or "") for case in cases]
        sides["confounder: which fields are missing"] = study.peer(linear, missing(cases))
        sides["confounder: which side and region the video shows"] = study.one_hot(regions)
    head = [
        f"{len(cases)} patients, {int(study.targets.sum())} with a positive PCR; {FOLDS} folds, seed {SEED}. 95 % "
        f"interval by bootstrap over patients. {FRAMES} frames of each patient's video. Values refused as implausible: "
        f"{'; '.join(left_out) or 'none'}. Target A6, at least {TARGET} from vitals and labs: "
        f"{'met' if study.auroc(sides[VITALS_ALONE]).value >= TARGET else 'missed'} by vitals and labs alone, "
        f"{'met' if study.auroc(sides[everything]).value >= TARGET else 'missed'} with note and frames beside them.",
        "",
    ]
    return "\n".join([*head, study.table(sides, everything)])


def _sides(study: Study) -> dict[str, np.ndarray]:
    config = ModelConfig.load("few_cases", {"training.test_fraction": 0.0, "task.diagnoses": ["covid-19"]})
    features = Features.of(study.cases, config)
    vitals, boxes = features.vitals, _boxes([case.note or "" for case in study.cases])
    ours = {
        "**ours: vitals and labs + note + frames**": study.ours(config, tuple(config.modalities)),
        VITALS_ALONE: study.ours(config, ("vitals",)),
        "ours, note alone": study.ours(config, ("text", "words")),
        "ours, frames alone": study.ours(config, ("imaging",)),
        "ours, vitals and labs + note": study.ours(config, ("vitals", "text", "words")),
    }
    return {
        **{name: side.scores for name, side in ours.items()},
        "ours, of these five what the training's own validation prefers": study.chosen(list(ours.values())),
        "gradient boosting, the same vitals and labs": study.peer(boosting, vitals),
        "gradient boosting, and the ticked boxes": study.peer(boosting, np.concatenate([vitals, boxes], axis=1)),
        "logistic regression, the same vitals and labs": study.peer(linear, vitals),
        "gradient boosting on frozen embeddings side by side (as HAIM)": study.peer(
            lambda: features.side_by_side(boosting()), features.joined
        ),
        "network of two layers on the same": study.peer(
            lambda: features.side_by_side(network_of_two_layers()), features.joined
        ),
    }


def _boxes(notes: list[str]) -> np.ndarray:
    from sklearn.feature_extraction.text import CountVectorizer

    return np.asarray(CountVectorizer(binary=True).fit_transform(notes).toarray(), dtype=float)


def _ticked(row: Mapping[str, str], prefix: str) -> str:
    ticked = [column for column, value in row.items() if column.startswith(prefix) and value == "1"]
    names = [_INNER_CAPITAL.sub(" ", column.removeprefix(prefix).replace("_", " ")) for column in ticked]
    words = [name.lower() for name in names]
    return ", ".join(word for word in words if word not in {"none of the above", "other"})


def _videos(source: Path, patient: str) -> list[Path]:
    return sorted((source / "lus_videos").glob(f"patient_{patient}_*.mp4"))


def _region(external_id: str) -> str:
    return "-".join(p.stem.rpartition("_")[2] for p in _videos(SOURCE, external_id.removeprefix("blues-")))


def _number(value: str) -> Any:
    return None if value == "" or float(value) == MISSING else float(value)


if __name__ == "__main__":
    print(run())
