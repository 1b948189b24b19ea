"""A really trained model's distances tell notes of another meaning from notes as it knows them, at the same length."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clinical_mm.bundle_layout import CAUTIONS
from clinical_mm.case import Case
from clinical_mm.errors import InvalidBundle
from clinical_mm.importing.folder import write_folder
from clinical_mm.phantom import draw
from clinical_mm.predictor import Predictor, load_model
from clinical_mm.watching.distances import held_back
from clinical_mm.watching.drift import Drift, drifts
from tests.models import tiny_config

KNEE = (
    "Knee locks when climbing stairs.",
    "Wrist swollen and tender over the radius.",
    "Fell on the outstretched hand.",
    "Splint applied in the clinic.",
    "Advised rest and ice.",
    "Fingers move freely.",
)


def notes(count: int, seed: int) -> list[Case]:
    """Synthetic cases with a note alone."""
    drawn = (d.case for d in draw(2 * count, seed) if d.case.note)
    return [replace(case, images=(), vitals={}) for case in drawn][:count]


def of_another_clinic(case: Case, rng: np.random.Generator) -> Case:
    """The same opening and the same number of words; the sentences are about knees and wrists."""
    words = (case.note or "").split()
    told = words[:2]
    while len(told) < len(words):
        told += str(rng.choice(KNEE)).split()
    return replace(case, note=" ".join(told[: len(words)]))


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """Trained on 400 notes, of which about sixty were held back."""
    from clinical_mm.training.run import train

    folder = tmp_path_factory.mktemp("notes")
    write_folder(iter(notes(400, 0)), folder / "snapshot")
    text = {"model": "minilm", "max_tokens": 64, "stride": 16, "layers": 1, "frozen": True}
    config = tiny_config(modalities={"text": text}, training={"epochs": 1, "batch_size": 32})
    return load_model(train(config, folder / "snapshot", folder / "out", device="cpu", progress=lambda _: None).folder)


def beside_training(predictor: Predictor, cases: list[Case]) -> Drift:
    """How the distances of some cases have moved from those held back."""
    shares = [prediction.modalities[0].strangeness for prediction in predictor.predict(cases)]
    [one] = drifts({"text": list(held_back(predictor.bundle.folder)["text"])}, {"text": list(shares)})
    return one


@pytest.mark.slow
def test_notes_of_another_clinic_are_told_though_they_are_no_longer_and_other_patients_are_not(
    predictor: Predictor,
) -> None:
    fresh, rng = notes(120, 99), np.random.default_rng(0)
    assert beside_training(predictor, fresh).verdict == "stable"
    assert beside_training(predictor, notes(60, 7)).verdict == "stable"
    moved = [of_another_clinic(case, rng) for case in fresh]
    assert [len((c.note or "").split()) for c in moved] == [len((c.note or "").split()) for c in fresh]
    assert beside_training(predictor, moved).verdict == "drifted"
    half = [*moved[:60], *fresh[60:]]
    assert beside_training(predictor, half).verdict == "drifted"


def test_a_model_that_held_too_few_cases_back_keeps_no_distances(trained_bundle: Path) -> None:
    assert held_back(trained_bundle) == {}


def test_a_bundle_without_the_file_keeps_none_and_a_damaged_one_is_told(bundle_copy: Path) -> None:
    (bundle_copy / CAUTIONS).write_bytes(b"no safetensors")
    with pytest.raises(InvalidBundle, match="cautions"):
        held_back(bundle_copy)
    (bundle_copy / CAUTIONS).unlink()
    assert held_back(bundle_copy) == {}
