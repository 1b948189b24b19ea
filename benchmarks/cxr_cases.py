"""Real chest X-ray cases (target A5): COVID-19 against other pneumonia, 5-fold by patient, beside its baselines.

    python -m benchmarks.cxr_cases folder SOURCE OUT     the plain folder that `cases import --format folder` reads
    python -m benchmarks.cxr_cases auroc [SOURCE]        the table

Notes are masked (whatever names a diagnosis, a test or a place), outcome columns and radiology notes are left out.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from clinical_mm.case import Case, ImageFile, Patient
from clinical_mm.catalogue import Catalogue
from clinical_mm.config import ModelConfig
from clinical_mm.errors import ClinicalMMError, NotEnoughData
from clinical_mm.evaluation.metrics import Estimate, auroc, with_interval
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
FOLDS, SEED = 5, 0


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
    """Out-of-fold AUROC of COVID-19 against other pneumonia for our model and its baselines, on the same folds."""
    with tempfile.TemporaryDirectory() as folder:
        counts = masked_case_folder(source, Path(folder) / "plain")
        cases = [c for c in read_folder(Path(folder) / "plain", Catalogue.load()) if not isinstance(c, Refused)]
        taught = [c for c in cases if c.diagnoses in {("covid-19",), ("pneumonia",)}]
        targets = np.array([float(c.diagnoses == ("covid-19",)) for c in taught])
        folds = list(_folds(targets))
        sites = _sites(source)
        sides: dict[str, np.ndarray] = {
            "**ours: note + image + vitals**": _ours(taught, folds, ("text", "imaging", "vitals"), Path(folder)),
            "ours, note alone": _ours(taught, folds, ("text",), Path(folder)),
            "ours, image alone": _ours(taught, folds, ("imaging",), Path(folder)),
            "ours, vitals alone": _ours(taught, folds, ("vitals",), Path(folder)),
        }
        sides["late fusion (mean of the three)"] = np.mean([sides[k] for k in list(sides)[1:]], axis=0)
        sides["TF-IDF + logistic regression, note"] = _tf_idf([c.note or "" for c in taught], targets, folds)
        sides["confounder: source site"] = _one_hot([sites.get(c.patient.id, "") for c in taught], targets, folds)
        sides["confounder: which fields are missing"] = _linear(_missing(taught), targets, folds)
    patients = [c.patient.id for c in taught]
    rows = [f"| {name} | {_estimate(targets, scores, patients)} |" for name, scores in sides.items()]
    refused = "; ".join(f"{p}: {why}" for p, why in counts["refused"]) or "none"
    head = [
        f"{counts['labelled']} labelled and {counts['unlabelled']} unlabelled patients entered; refused: {refused}.",
        f"COVID-19 {int(targets.sum())}, other pneumonia {int((1 - targets).sum())}; {FOLDS} folds, seed {SEED}. "
        "95 % interval by bootstrap over patients. Notes masked with mask_all.txt.",
        "",
        "| side | AUROC |",
        "|---|---|",
    ]
    return "\n".join([*head, *rows])


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


def _folds(targets: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    from sklearn.model_selection import StratifiedKFold

    yield from StratifiedKFold(FOLDS, shuffle=True, random_state=SEED).split(np.zeros(len(targets)), targets)


def _ours(cases: Sequence[Case], folds: Sequence[Any], modalities: Sequence[str], folder: Path) -> np.ndarray:
    """Out-of-fold probability of COVID-19; cases that lack the modalities get the training share."""
    from clinical_mm.predictor import load_model
    from clinical_mm.training.run import train

    base = ModelConfig.load("real_cxr", {"training.test_fraction": 0.0})
    config = base.model_copy(update={"modalities": {n: base.modalities[n] for n in modalities}})
    scores = np.zeros(len(cases))
    for number, (teach, judge) in enumerate(folds):
        work = folder / f"{'-'.join(modalities)}-{number}"
        readable = [i for i in teach if _has(cases[i], modalities)]
        write_folder([cases[i] for i in readable], work / "snapshot")
        share = np.mean([cases[i].diagnoses == ("covid-19",) for i in teach])
        scores[judge] = share
        try:
            made = train(config, work / "snapshot", work / "out", progress=lambda _: None)
        except NotEnoughData as error:  # vitals are on few of these cases: then the share is all that can be said
            print(f"{'+'.join(modalities)}, fold {number}: {error}", file=sys.stderr)
            continue
        model = load_model(made.folder)
        asked = [i for i in judge if _has(cases[i], modalities)]
        unlabelled = [replace(cases[i], diagnoses=None) for i in asked]
        for i, answer in zip(asked, model.predict(unlabelled), strict=True):
            scores[i] = next(d.probability for d in answer.diagnoses if d.code == "covid-19")
    return scores


def _has(case: Case, modalities: Sequence[str]) -> bool:
    there = {"text": case.note is not None, "imaging": bool(case.images), "vitals": bool(case.vitals)}
    return any(there[name] for name in modalities)


def _tf_idf(notes: Sequence[str], targets: np.ndarray, folds: Sequence[Any]) -> np.ndarray:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    scores = np.zeros(len(notes))
    for teach, judge in folds:
        vectors = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
        model = make_pipeline(vectors, LogisticRegression(C=10, class_weight="balanced", max_iter=2000))
        model.fit([notes[i] for i in teach], targets[teach])
        scores[judge] = model.predict_proba([notes[i] for i in judge])[:, 1]
    return scores


def _one_hot(values: Sequence[str], targets: np.ndarray, folds: Sequence[Any]) -> np.ndarray:
    names = sorted(set(values))
    return _linear(np.array([[float(v == n) for n in names] for v in values]), targets, folds)


def _linear(features: np.ndarray, targets: np.ndarray, folds: Sequence[Any]) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression

    scores = np.zeros(len(targets))
    for teach, judge in folds:
        model = LogisticRegression(class_weight="balanced", max_iter=2000).fit(features[teach], targets[teach])
        scores[judge] = model.predict_proba(features[judge])[:, 1]
    return scores


def _missing(cases: Sequence[Case]) -> np.ndarray:
    return np.array(
        [
            [
                c.patient.age_years is None,
                c.patient.sex is None,
                c.note is None,
                *(n not in c.vitals for n in VITALS.values()),
            ]
            for c in cases
        ],
        dtype=float,
    )


def _sites(source: Path) -> dict[str, str]:
    with (source / "provenance.csv").open(encoding="utf-8", newline="") as lines:
        return {row["case_id"]: row["source_site"] for row in csv.DictReader(lines)}


def _estimate(targets: np.ndarray, scores: np.ndarray, patients: Sequence[str]) -> Estimate:
    return with_interval(auroc, targets, scores, patients, resamples=2000, seed=SEED)


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
