"""A committee: several networks, each judged on what it has not learned from, that answer as one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clinical_mm.case import Case
from clinical_mm.catalogue import Catalogue
from clinical_mm.committee import another_member, join_members
from clinical_mm.config import ModelConfig
from clinical_mm.errors import InvalidConfig, NotEnoughData
from clinical_mm.modalities import modalities_of
from clinical_mm.network import build_network, collate
from clinical_mm.predictor import Predictor, load_model
from clinical_mm.training.run import TrainedModel, train
from clinical_mm.training.split import rotations, split
from tests.models import phantom_folder, tiny_config

DIAGNOSES = ("pneumonia", "heart-failure")


def of_three(**training: Any) -> ModelConfig:
    return tiny_config(training={"epochs": 1, "batch_size": 16, "learning_rate": 0.003, "members": 3, **training})


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phantom_folder(tmp_path_factory.mktemp("snapshot"), 40)


@pytest.fixture(scope="module")
def committee(snapshot: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    out = tmp_path_factory.mktemp("out")
    return train(of_three(), snapshot, out, device="cpu", progress=lambda _: None)


@pytest.fixture(scope="module")
def served(committee: TrainedModel) -> Predictor:
    return load_model(committee.folder, device="cpu")


@pytest.mark.parametrize("fusion", ["cross_attention", "late"])
def test_it_answers_the_mean_of_its_members(fusion: str, case: Case, catalogue: Catalogue) -> None:
    config = tiny_config(fusion={"name": fusion, "options": {"width": 32}})
    modalities = modalities_of(config, catalogue)
    modalities["vitals"].fit([case])
    first = build_network(config, modalities, DIAGNOSES)
    members = [first, *(another_member(first, config, modalities, DIAGNOSES) for _ in range(2))]
    batches, present = collate(modalities, [{name: part.read(case) for name, part in modalities.items()}])
    with torch.no_grad():
        each = torch.stack([member.eval()(batches, present).logits_BK for member in members])
        joined = join_members(members)(batches, present)
    assert not torch.allclose(each[0], each[1])
    assert torch.allclose(joined.logits_BK, each.mean(0), atol=1e-5)
    assert float(joined.weights_BM.sum()) == pytest.approx(1, abs=1e-5)


def test_what_does_not_learn_is_there_once(served: Predictor) -> None:
    names = set(served.network.state_dict())
    assert any(name.startswith("encoders.text.bert") for name in names)
    assert any(name.startswith("encoders.imaging.members.2") for name in names)


def test_its_probabilities_are_judged_on_every_case_outside_the_test_part(committee: TrainedModel) -> None:
    data = committee.card["data"]
    assert committee.metrics["validation"]["cases"] == data["train"] + data["validation"]
    assert len(committee.metrics["members"]) == 3


def test_it_is_explained_as_one_model(served: Predictor, case: Case) -> None:
    account = served.explain(case, served.diagnoses[0])
    moved = account.value - account.baseline_value
    assert sum(c.contribution for c in account.contributions) == pytest.approx(moved, abs=max(0.02, 0.05 * abs(moved)))
    assert served.similar(case)


def test_the_same_place_again_trains_nothing_again(committee: TrainedModel, snapshot: Path) -> None:
    told: list[str] = []
    again = train(of_three(), snapshot, committee.folder.parent, device="cpu", progress=lambda p: told.append(p.stage))
    assert "training" not in told
    assert again.metrics == committee.metrics


def test_every_patient_outside_the_test_part_validates_one_member_and_teaches_the_others() -> None:
    patients = [f"p{i // 2}" for i in range(60)]
    parts = split(patients, 0, 0.15, 0.2)
    found = rotations(parts, patients, 5, 0)
    assert sorted(i for part in found for i in part.validation) == sorted((*parts.train, *parts.validation))
    for part in found:
        assert part.test == parts.test
        owners = [{patients[i] for i in rows} for rows in (part.train, part.validation, part.test)]
        assert len(set().union(*owners)) == sum(map(len, owners))
    assert np.ptp([len(part.validation) for part in found]) <= 2


def test_more_members_than_patients_is_too_little_data() -> None:
    patients = ["a"] * 6 + ["b"] * 6
    with pytest.raises(NotEnoughData, match=r"training\.members = 5"):
        rotations(split(patients, 0, 0.2, 0.0), patients, 5, 0)


def test_members_do_not_learn_word_embeddings_of_their_own(snapshot: Path, tmp_path: Path) -> None:
    text = {"model": "minilm", "max_tokens": 64, "stride": 16, "layers": 1, "learns": "all"}
    config = of_three().model_copy(update={"modalities": {"text": text}})
    with pytest.raises(InvalidConfig, match=r"modalities\.text\.learns must be nothing, last or lora"):
        train(config, snapshot, tmp_path, device="cpu", progress=lambda _: None)


def test_a_committee_is_not_aligned() -> None:
    with pytest.raises(InvalidConfig, match="do not go together"):
        tiny_config(training={"members": 2}, alignment={"epochs": 1})
