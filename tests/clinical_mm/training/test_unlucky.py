"""Cases as they come to an unlucky user: each gives a sensible model, or one line that says what to do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clinical_mm.case import Case
from clinical_mm.catalogue import Catalogue
from clinical_mm.config import ModelConfig
from clinical_mm.errors import NotEnoughData
from clinical_mm.importing.folder import read_folder, write_folder
from clinical_mm.importing.outcome import Refused
from clinical_mm.phantom import draw
from clinical_mm.predictor import load_model
from clinical_mm.training.run import TrainedModel, train
from tests.models import tiny_config


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    """Synthetic cases of note and vitals."""
    drawn = (replace(d.case, images=()) for d in draw(70, seed=6) if d.case.note and len(d.case.vitals) > 3)
    return list(drawn)[:48]


def of_vitals(epochs: int = 2) -> ModelConfig:
    return tiny_config(modalities={"vitals": {"width": 16}}, training={"epochs": epochs, "batch_size": 16})


def taught(cases: Sequence[Case], folder: Path, config: ModelConfig | None = None) -> TrainedModel:
    write_folder(cases, folder / "snapshot")
    return train(config or of_vitals(), folder / "snapshot", folder / "out", device="cpu", progress=lambda _: None)


def finite(made: TrainedModel, case: Case) -> bool:
    [answer] = load_model(made.folder, "cpu").predict([case])
    return all(0 <= d.probability <= 1 for d in answer.diagnoses)


def test_a_diagnosis_with_one_case_is_not_taught_and_the_card_says_so(cases: list[Case], tmp_path: Path) -> None:
    lonely = [replace(cases[0], diagnoses=("tuberculosis",)), *cases[1:]]
    made = taught(lonely, tmp_path)
    assert "tuberculosis" not in made.card["diagnoses"]
    assert made.card["data"]["not_taught"]["tuberculosis"] == 1


def test_all_cases_of_one_label_teach_nothing(cases: list[Case], tmp_path: Path) -> None:
    with pytest.raises(NotEnoughData, match="nothing to tell apart"):
        taught([replace(case, diagnoses=("pneumonia",)) for case in cases], tmp_path)


def test_no_label_at_all_asks_for_reviews(cases: list[Case], tmp_path: Path) -> None:
    with pytest.raises(NotEnoughData, match="Review more cases"):
        taught([replace(case, diagnoses=None) for case in cases], tmp_path)


def test_one_patient_alone_cannot_be_split(cases: list[Case], tmp_path: Path) -> None:
    with pytest.raises(NotEnoughData, match="validation"):
        taught([replace(case, patient=cases[0].patient) for case in cases], tmp_path)


def test_empty_notes_are_absent_notes(cases: list[Case], tmp_path: Path) -> None:
    config = tiny_config(
        modalities={"text": {"model": "minilm", "max_tokens": 64, "stride": 16, "layers": 1}, "vitals": {"width": 16}},
        training={"epochs": 1, "batch_size": 16},
    )
    made = taught([replace(case, note="  \n") for case in cases], tmp_path, config)
    assert made.card["data"]["with"]["text"] == 0
    assert finite(made, cases[0])  # with a note: nothing was learned of notes, and nothing breaks
    notes_alone = config.model_copy(update={"modalities": {"text": config.modalities["text"]}})
    with pytest.raises(NotEnoughData, match="modalities that the configuration names"):
        taught([replace(case, note="") for case in cases], tmp_path / "alone", notes_alone)


def test_a_vital_that_never_changes_and_one_measured_once_do_no_harm(cases: list[Case], tmp_path: Path) -> None:
    constant = [replace(case, vitals={**case.vitals, "gcs": 15.0}) for case in cases]
    constant[0] = replace(constant[0], vitals={**constant[0].vitals, "d_dimer": 900.0})
    made = taught(constant, tmp_path)
    assert finite(made, constant[0])
    unusual = replace(constant[1], vitals={**constant[1].vitals, "gcs": 3.0, "d_dimer": 150_000.0})
    assert finite(made, unusual)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_vital_that_is_no_number_is_refused_with_its_line(
    cases: list[Case], tmp_path: Path, catalogue: Catalogue, value: float
) -> None:
    write_folder(cases[:3], tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "cases.jsonl").read_text().splitlines()]
    lines[1]["vitals"]["spo2"] = value
    (tmp_path / "cases.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    good, bad, also_good = read_folder(tmp_path, catalogue)
    assert isinstance(good, Case)
    assert isinstance(also_good, Case)
    assert isinstance(bad, Refused)
    assert "line 2" in bad.where
    assert "spo2" in bad.reason


def test_one_epoch_makes_a_model(cases: list[Case], tmp_path: Path) -> None:
    made = taught(cases, tmp_path, of_vitals(epochs=1))
    assert made.metrics["epochs"] == made.metrics["best_epoch"] == 1
    assert finite(made, cases[0])


def test_the_same_case_again_and_again_stays_in_one_part(cases: list[Case], tmp_path: Path) -> None:
    copies = [replace(case, external_id=f"{case.external_id}-{n}") for case in cases[:30] for n in range(3)]
    made = taught(copies, tmp_path)
    split = json.loads((made.folder / "docs/split.json").read_text())
    part_of = {name: part for part, names in split.items() for name in names}
    for case in cases[:30]:
        assert len({part_of.get(f"{case.external_id}-{n}") for n in range(3)}) == 1
    assert np.isfinite(made.metrics["history"][-1]["validation_loss"])
