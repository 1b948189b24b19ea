"""Real chest X-ray cases (target A5): COVID-19 against other pneumonia, 5-fold by patient, beside its baselines.

    python -m benchmarks.cxr_cases folder SOURCE OUT     the plain folder that `cases import --format folder` reads
    python -m benchmarks.cxr_cases auroc [SOURCE]        the table

Notes are masked (whatever names a diagnosis, a test or a place), outcome columns and radiology notes are left out.
"""

from __future__ import annotations

import argparse
import csv
import re
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
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
    strongly_regularised,
    tf_idf,
)
from clinical_mm.case import Case, ImageFile, Patient
from clinical_mm.catalogue import Catalogue
from clinical_mm.config import ModelConfig
from clinical_mm.errors import ClinicalMMError
from clinical_mm.importing.folder import read_folder, write_folder
from clinical_mm.importing.outcome import Refused

TITLE = "Real chest X-ray cases: COVID-19 against other pneumonia (A5)"
SOURCE = Path(__file__).parents[2] / "shared" / "data" / "cxr_cases"
LABELS: dict[str, tuple[str, ...] | None] = {
    "COVID-19": ("covid-19",),
    "other pneumonia/ARDS": ("pneumonia",),
    "No finding": (),
    "unlabelled": None,
}
VITALS = {
    "temperature_c": "temperature",
    "spo2_pct": "spo2",
    "leukocytes_1e9_l": "wbc",
    "neutrophils_1e9_l": "neutrophils",
    "lymphocytes_1e9_l": "lymphocytes",
}
FRONTAL = ("PA", "AP", "AP Supine")


def masked_case_folder(source: Path, out: Path) -> dict[str, Any]:
    """Write one case a patient into the plain folder; gives how many entered and which were refused, and why."""
    if not (source / "cases.csv").is_file():
        raise FileNotFoundError(f"no cases.csv under {source}")
    mask = re.compile((source / "mask_all.txt").read_text(encoding="utf-8").strip(), re.IGNORECASE)
    entered, refused = [], []
    for patient, rows in _by_patient(source / "cases.csv").items():
        try:
            entered.append(_case(patient, rows, mask, source / "images"))
        except ClinicalMMError as error:
            refused.append((patient, str(error)))
    write_folder(entered, out)
    labelled = sum(case.diagnoses is not None for case in entered)
    return {"entered": len(entered), "labelled": labelled, "unlabelled": len(entered) - labelled, "refused": refused}


def run() -> str:
    """The table, as markdown."""
    return auroc_table(SOURCE)


def auroc_table(source: Path) -> str:
    """Out-of-fold AUROC of COVID-19 against other pneumonia for our model and its peers, on the same folds."""
    with tempfile.TemporaryDirectory() as folder:
        counts = masked_case_folder(source, Path(folder))
        cases = [c for c in read_folder(Path(folder), Catalogue.load()) if not isinstance(c, Refused)]
        study = Study([c for c in cases if c.diagnoses in {("covid-19",), ("pneumonia",)}], "covid-19")
        sides = _sides(study)
        everything = next(iter(sides))
        provenance, views = _column(source / "provenance.csv", "source_site"), _column(source / "cases.csv", "view")
        for what, told in (("source site", provenance), ("view of the first picture", views)):
            sides[f"confounder: {what}"] = study.one_hot([told.get(c.patient.id, "") for c in study.cases])
        sides["confounder: which fields are missing"] = study.peer(linear, missing(study.cases))
    refused = "; ".join(f"{p}: {why}" for p, why in counts["refused"]) or "none"
    head = [
        f"{counts['labelled']} labelled and {counts['unlabelled']} unlabelled patients entered; refused: {refused}.",
        f"COVID-19 {int(study.targets.sum())}, other pneumonia {int((1 - study.targets).sum())}; {FOLDS} folds, seed "
        f"{SEED}. 95 % interval by bootstrap over patients. Notes masked with mask_all.txt. {study.brought}",
        "",
    ]
    return "\n".join([*head, study.table(sides, everything)])


def _sides(study: Study) -> dict[str, np.ndarray]:
    task = {"task.kind": "exclusive", "task.diagnoses": ["covid-19", "pneumonia"], "training.test_fraction": 0.0}
    config = ModelConfig.load("few_cases", task)
    features, notes = Features.of(study.cases, config), [case.note or "" for case in study.cases]
    ours = {
        "**ours: note + image + vitals**": study.ours(config, tuple(config.modalities)),
        "ours, note alone": study.ours(config, ("text", "words")),
        "ours, image alone": study.ours(config, ("imaging",)),
        "ours, vitals alone": study.ours(config, ("vitals",)),
    }
    sides = {name: side.scores for name, side in ours.items()}
    sides["ours, one verdict a modality (mean of these three)"] = np.mean([sides[k] for k in list(sides)[1:]], axis=0)
    sides["ours, of these four what the training's own validation prefers"] = study.chosen(list(ours.values()))
    one = ModelConfig.load("few_cases", {**task, "training.members": 1})
    sides["ours, one network in place of five"] = study.ours(one, tuple(one.modalities)).scores
    sides |= {
        "TF-IDF + logistic regression, note": study.peer(tf_idf, notes),
        "mean of MiniLM + logistic regression, note": study.peer(strongly_regularised, features.note),
        "gradient boosting on frozen embeddings side by side (as HAIM)": study.peer(
            lambda: features.side_by_side(boosting()), features.joined
        ),
        "network of two layers on the same": study.peer(
            lambda: features.side_by_side(network_of_two_layers()), features.joined
        ),
    }
    return sides


def _by_patient(path: Path) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            found[row["case_id"]].append(row)
    return found


def _case(patient: str, rows: Sequence[Mapping[str, str]], mask: re.Pattern[str], images: Path) -> Case:
    first = rows[0]
    shipped = [r for r in rows if r["image_included"] == "True"]
    frontal = [r for r in shipped if r["view"] in FRONTAL]
    catalogue = Catalogue.load()
    vitals = {name: catalogue.measure(name, float(first[c])) for c, name in VITALS.items() if first[c]}
    return Case(
        external_id=f"cxr-{patient}",
        patient=Patient(patient, _sex(first["sex"]), float(first["age"]) if first["age"] else None),
        note=mask.sub("[masked]", first["clinical_note"]) if first["clinical_note"] else None,
        vitals=vitals,
        images=tuple(ImageFile(r["image"], images / r["image"]) for r in (frontal or shipped)[:2]),
        diagnoses=LABELS[first["label3"]],
    )


def _sex(value: str) -> Any:
    return value if value in {"F", "M"} else None


def _column(path: Path, column: str) -> dict[str, str]:
    """What the first row of each patient says."""
    return {patient: rows[0][column] for patient, rows in _by_patient(path).items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cxr_cases", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    folder = commands.add_parser("folder", help="write the plain folder")
    folder.add_argument("source", type=Path)
    folder.add_argument("out", type=Path)
    table = commands.add_parser("auroc", help="print the table")
    table.add_argument("source", type=Path, nargs="?", default=SOURCE)
    chosen = parser.parse_args()
    print(masked_case_folder(chosen.source, chosen.out) if chosen.command == "folder" else auroc_table(chosen.source))


if __name__ == "__main__":
    main()
