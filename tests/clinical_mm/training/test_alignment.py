"""Alignment: what belongs to one case lies close together - learned without labels, and without the test part."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from clinical_mm.alignment import Aligner, retrieval
from clinical_mm.bundle_layout import PLACES, WEIGHTS
from clinical_mm.case import Case
from clinical_mm.catalogue import Catalogue
from clinical_mm.config import AlignmentConfig, ModelConfig
from clinical_mm.errors import Cancelled, InvalidBundle
from clinical_mm.importing.folder import write_folder
from clinical_mm.modalities.base import Tokens
from clinical_mm.phantom import draw
from clinical_mm.places import Places
from clinical_mm.predictor import load_model
from clinical_mm.training.prepared import prepare
from clinical_mm.training.progress import Progress, Reporter
from clinical_mm.training.run import train
from tests.models import tiny_config

QUICK: dict[str, Any] = {
    "modalities": {"text": {"model": "minilm", "max_tokens": 64, "stride": 16, "layers": 2}, "vitals": {"width": 16}},
    "training": {"epochs": 2, "batch_size": 16, "learning_rate": 0.003, "encoder_learning_rate": 0.003},
}


def aligned(epochs: int = 3) -> ModelConfig:
    return tiny_config(**QUICK, alignment={"epochs": epochs, "width": 16, "batch_size": 16})


def half_labelled(count: int = 80) -> list[Case]:
    cases = [d.case for d in draw(count, seed=2)]
    return [replace(c, diagnoses=None) if i % 2 else c for i, c in enumerate(cases)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("aligned")
    write_folder(half_labelled(), folder / "snapshot")
    return train(aligned(), folder / "snapshot", folder / "out", device="cpu", progress=lambda _: None).folder


def test_two_modalities_that_say_the_same_learn_to_find_each_other() -> None:
    torch.manual_seed(0)
    secret = torch.randn(200, 6)
    one, two = secret @ torch.randn(6, 12), secret @ torch.randn(6, 20)
    tokens = {
        name: Tokens(states.unsqueeze(1), torch.ones(200, 1, dtype=torch.bool))
        for name, states in (("one", one), ("two", two))
    }
    everything = torch.ones(200, 2, dtype=torch.bool)
    aligner = Aligner({"one": 12, "two": 20}, AlignmentConfig(width=16))
    with torch.no_grad():
        before = aligner.loss(tokens, everything)
    optimizer = torch.optim.Adam(aligner.parameters(), lr=0.01)
    for _ in range(150):
        optimizer.zero_grad()
        aligner.loss(tokens, everything).total.backward()
        optimizer.step()
    with torch.no_grad():
        after, vectors = aligner.loss(tokens, everything), aligner(tokens, everything)
    assert float(after.contrastive) < 0.3 * float(before.contrastive)
    assert float(after.reconstruction) < 0.5 * float(before.reconstruction)
    assert retrieval(vectors[:, 0], vectors[:, 1], first=1) > 0.8
    assert retrieval(vectors[:, 0], vectors[torch.randperm(200), 1], first=10) < 0.2  # chance is 0.05


def test_what_is_absent_has_no_place_and_no_part_in_the_loss() -> None:
    torch.manual_seed(0)
    states = torch.randn(8, 3, 5)
    aligner = Aligner({"one": 5, "two": 5}, AlignmentConfig(width=8))
    present = torch.tensor([[True, False]] * 8)
    tokens = {name: Tokens(states, torch.ones(8, 3, dtype=torch.bool)) for name in ("one", "two")}
    assert float(aligner.loss(tokens, present).total.detach()) == 0
    assert torch.all(aligner(tokens, present)[:, 1] == 0)
    assert torch.allclose(aligner.place(tokens, present).norm(dim=1), torch.ones(8))


def test_cases_without_a_label_teach_and_patients_of_the_test_part_do_not(catalogue: Catalogue) -> None:
    cases = half_labelled()
    tested = prepare(cases, aligned(), catalogue, Reporter(lambda _: None, 1))
    patients = [tested.cases[i].patient.id for i in (*tested.parts.validation, *tested.parts.test)]
    twins = [
        replace(case, patient=replace(case.patient, id=patients[i % len(patients)])) if case.diagnoses is None else case
        for i, case in enumerate(cases)
    ]
    prepared = prepare(twins, aligned(), catalogue, Reporter(lambda _: None, 1))
    assert len(tested.for_alignment) > len(tested.parts.train) + 20
    assert len(prepared.for_alignment) == len(prepared.parts.train)  # every unlabelled one is of a judging patient


@pytest.mark.slow
def test_the_card_tells_how_well_one_modality_finds_another(trained: Path) -> None:
    told = json.loads((trained / "docs/card.json").read_text())["metrics"]["alignment"]
    assert told["cases"] > 40
    assert len(told["history"]) == 3
    assert set(told["retrieval"]["text to vitals"]) == {"cases", "recall_at_1", "recall_at_10", "chance_at_10"}


def test_a_case_is_most_like_itself(trained: Path) -> None:
    model = load_model(trained, "cpu")
    labelled = next(c for c in half_labelled() if c.external_id in model.bundle.places.names and c.note and c.vitals)
    found = model.similar(labelled, limit=3)
    assert next(name for name, _ in found) == labelled.external_id
    assert found[0][1] == pytest.approx(1.0, abs=0.01)
    assert found == sorted(found, key=lambda pair: -pair[1])


@pytest.mark.slow
def test_alignment_that_was_cancelled_goes_on_and_ends_where_an_uninterrupted_one_does(
    tmp_path: Path, trained: Path
) -> None:
    write_folder(half_labelled(), tmp_path / "snapshot")
    told: list[Progress] = []
    with pytest.raises(Cancelled):
        train(
            aligned(),
            tmp_path / "snapshot",
            tmp_path / "out",
            device="cpu",
            progress=told.append,
            cancelled=lambda: any(p.metrics.get("alignment_loss") for p in told),
        )
    again = train(aligned(), tmp_path / "snapshot", tmp_path / "out", device="cpu", progress=lambda _: None)
    one, other = load_file(again.folder / WEIGHTS), load_file(trained / WEIGHTS)
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_places_survive_a_file_and_a_damaged_one_is_told(tmp_path: Path) -> None:
    vectors = np.eye(3, 4, dtype=np.float32)
    Places(("a", "b", "c"), vectors).save(tmp_path / "places.safetensors")
    read = Places.load(tmp_path / "places.safetensors")
    assert read.nearest(np.array([0, 1, 0, 0], np.float32), limit=1) == [("b", 1.0)]
    assert Places.load(tmp_path / "none").nearest(vectors[0], limit=5) == []
    (tmp_path / PLACES.name).write_bytes(b"\0" * 20)
    with pytest.raises(InvalidBundle, match="not readable"):
        Places.load(tmp_path / PLACES.name)
