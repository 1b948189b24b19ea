"""Stacking: a verdict counts as much as it proved worth on cases that had not taught it."""

from __future__ import annotations

import numpy as np
import pytest

from clinical_mm.phantom import draw
from clinical_mm.predictor import load_model
from clinical_mm.training.run import TrainedModel, train
from clinical_mm.training.stacking import LARGEST_SCALE, weigh
from tests.models import phantom_folder, tiny_config


def verdicts(count: int, kind: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Of two modalities on two diagnoses: one that knows, one that learned noise by heart; and what is true."""
    rng = np.random.default_rng(seed)
    targets = (rng.random((count, 2)) < 0.5).astype(float)
    if kind == "exclusive":
        targets[:, 1] = 1 - targets[:, 0]
    knows = 2 * targets - 1 + rng.normal(0, 1, targets.shape)
    return np.stack([knows, rng.normal(0, 2.5, targets.shape)]), targets


@pytest.mark.parametrize("kind", ["exclusive", "co-occurring"])
def test_noise_is_silenced_and_what_is_known_is_kept(kind: str) -> None:
    given, targets = verdicts(60, kind)
    scale, _ = weigh(given, np.zeros_like(targets), targets, kind)
    assert scale[0] > 0.7
    assert scale[1] < 0.25


def test_a_handful_of_cases_changes_little() -> None:
    given, targets = verdicts(1, "co-occurring")
    scale, shift = weigh(given / 10, np.zeros_like(targets), targets, "co-occurring")
    assert scale == pytest.approx([1, 1], abs=0.1)
    assert np.abs(shift).max() < 0.5


def test_no_verdict_is_ever_turned_round_or_blown_up() -> None:
    given, targets = verdicts(80, "co-occurring")
    scale, _ = weigh(np.stack([-given[0], given[0] / 100]), np.zeros_like(targets), targets, "co-occurring")
    assert scale[0] == 0
    assert scale[1] <= LARGEST_SCALE


def test_a_wrong_share_is_put_right() -> None:
    _, targets = verdicts(200, "co-occurring")
    _, shift = weigh(np.zeros((1, 200, 2)), np.full(targets.shape, 2.0), targets, "co-occurring")
    assert shift == pytest.approx([-2, -2], abs=0.4)


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    out = tmp_path_factory.mktemp("late")
    config = tiny_config(
        fusion={"name": "late", "options": {"width": 16}},
        training={"epochs": 2, "batch_size": 16, "learning_rate": 0.01, "members": 2},
    )
    return train(config, phantom_folder(out / "snapshot", 60), out / "out", device="cpu", progress=lambda _: None)


def test_late_fusion_is_weighed_and_its_bundle_answers_so(late: TrainedModel) -> None:
    model = load_model(late.folder, "cpu")
    weights = model.network.state_dict()
    scales = [value for name, value in weights.items() if name.endswith("scale")]
    assert len(scales) == 2
    assert scales[0].tolist() == scales[1].tolist() != [1, 1, 1]
    case = next(d.case for d in draw(40, 8) if d.case.note and d.case.vitals and d.case.images)
    shares = {m.name: m.weight for m in model.predict([case])[0].modalities}
    wanted = scales[0] / scales[0].sum() if scales[0].sum() > 0 else scales[0] + 1 / 3
    assert list(shares.values()) == pytest.approx(wanted.tolist(), abs=1e-5)


def test_its_logits_are_the_weighted_sum_of_each_modality_s_verdict(late: TrainedModel) -> None:
    model = load_model(late.folder, "cpu")
    case = next(d.case for d in draw(40, 8) if d.case.note and d.case.vitals and d.case.images)
    sample = [model.read(case)]
    bias = model.network.head.get_parameter("1.bias").numpy()
    alone = [model.logits_of(sample, (name,)) - bias for name in model.modalities]
    assert np.sum(alone, axis=0) + bias == pytest.approx(model.logits_of(sample), abs=1e-4)


def test_a_killed_training_weighs_again_to_the_same_bytes(late: TrainedModel) -> None:
    again = train(
        load_model(late.folder, "cpu").bundle.config,
        late.folder.parents[1] / "snapshot",
        late.folder.parent,  # its checkpoints are there: nothing is trained anew
        device="cpu",
        progress=lambda _: None,
    )
    assert again.card["metrics"]["validation"] == late.card["metrics"]["validation"]
