"""How much of an encoder learns: the words in YAML, what they leave trainable, and adapters that leave no trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from clinical_mm.catalogue import Catalogue
from clinical_mm.config import ModelConfig
from clinical_mm.errors import Cancelled, InvalidConfig
from clinical_mm.modalities import modalities_of
from clinical_mm.network import MultimodalNetwork, build_network, collate
from clinical_mm.phantom import draw
from clinical_mm.training.run import TrainedModel, train
from tests.models import phantom_folder, tiny_config

DENSE = {"name": "DenseNet", "options": {"init_features": 8, "growth_rate": 4, "block_config": [2, 2]}}
IMAGING: dict[str, Any] = {"size": [32, 32], "network": DENSE}
TEXT: dict[str, Any] = {"model": "minilm", "max_tokens": 64, "stride": 16, "layers": 2}
LORA = {"learns": "lora", "lora": {"rank": 2, "alpha": 4}}


def config(imaging: dict[str, Any] | None = None, text: dict[str, Any] | None = None, **changes: Any) -> ModelConfig:
    modalities = {"imaging": {**IMAGING, **(imaging or {})}, "text": {**TEXT, **(text or {})}, "vitals": {"width": 16}}
    return tiny_config(modalities=modalities, **changes)


def network_of(chosen: ModelConfig) -> MultimodalNetwork:
    torch.manual_seed(0)
    network = build_network(chosen, modalities_of(chosen, Catalogue.load()), ("pneumonia", "copd"))
    for name in chosen.modalities:
        network.restrict(name, chosen.learning(name))
    return network.train()


def learning(network: MultimodalNetwork, name: str) -> list[str]:
    return [path for path, p in network.encoder(name).named_parameters() if p.requires_grad]


def test_all_learns_unless_something_else_is_said() -> None:
    network = network_of(config())
    assert all(p.requires_grad for p in network.parameters())
    assert all(part.training for part in network.modules())


@pytest.mark.parametrize("said", [{"frozen": True}, {"learns": "nothing"}])
def test_frozen_is_the_older_word_for_nothing(said: dict[str, Any]) -> None:
    network = network_of(config(text=said))
    assert network.frozen == {"text"}
    assert learning(network, "text") == []
    assert not any(part.training for part in network.encoder("text").modules())


def test_of_a_bert_the_last_layers_learn() -> None:
    network = network_of(config(text={"learns": "last", "last_blocks": 1}))
    assert learning(network, "text")
    assert all(path.startswith("bert.encoder.layer.1.") for path in learning(network, "text"))
    dropout = [m for m in network.encoder("text").modules() if isinstance(m, nn.Dropout)]
    assert {part.training for part in dropout} == {True, False}, "what does not learn stays in evaluation mode"


def test_of_an_image_network_the_last_dense_block_learns_and_what_follows_it() -> None:
    network = network_of(config(imaging={"learns": "last"}))
    assert {path.split(".")[1] for path in learning(network, "imaging")} == {"denseblock2", "norm5"}
    norms = {
        path: part.training
        for path, part in network.encoder("imaging").named_modules()
        if isinstance(part, nn.BatchNorm2d)
    }
    assert {path.split(".")[1] for path, trains in norms.items() if trains} == {"denseblock2", "norm5"}


def test_a_batch_without_any_picture_wakes_no_layer_that_rests() -> None:
    network = network_of(config(imaging={"learns": "last"}))
    before = {path: part.training for path, part in network.named_modules()}
    part = modalities_of(config(), Catalogue.load())["imaging"]
    network.encoder("imaging")(part.collate([None, None]))
    assert {path: part.training for path, part in network.named_modules()} == before


def test_of_a_residual_network_the_last_layer_learns() -> None:
    options = {"block": "basic", "layers": [1, 1, 1, 1], "block_inplanes": [8, 8, 8, 8]}
    network = network_of(config(imaging={"network": {"name": "ResNet", "options": options}, "learns": "last"}))
    assert {path.split(".")[1] for path in learning(network, "imaging")} == {"layer4"}


@pytest.mark.parametrize("name", ["imaging", "text"])
def test_adapters_change_nothing_at_first_and_merged_give_what_they_gave(name: str) -> None:
    plain, adapted = network_of(config()).eval(), network_of(config(**{name: LORA})).eval()
    batches, present_BM = batch()
    with torch.no_grad():
        assert torch.equal(plain(batches, present_BM).logits_BK, adapted(batches, present_BM).logits_BK)
        for path, value in adapted.named_parameters():
            if "lora_B" in path:
                value.normal_(std=0.1)
        learned = adapted(batches, present_BM).logits_BK
        adapted.merge_adapters()
        merged = adapted(batches, present_BM).logits_BK
    assert not torch.allclose(learned, plain(batches, present_BM).logits_BK, atol=1e-4)
    torch.testing.assert_close(merged, learned, atol=1e-4, rtol=1e-4)
    assert adapted.state_dict().keys() == plain.state_dict().keys()


def test_of_a_bert_with_adapters_only_those_of_queries_and_values_learn() -> None:
    names = learning(network_of(config(text=LORA)), "text")
    assert {path.split(".")[-4] for path in names} == {"query", "value"}
    assert {path.split(".")[-3] for path in names} == {"lora_A", "lora_B"}


def test_parameters_are_counted() -> None:
    counts = network_of(config(text=LORA, imaging={"learns": "nothing"})).parameter_counts()
    assert counts["text"]["trainable"] == 2 * 2 * (2 * 384 + 2 * 384), "layers, projections, two factors of rank 2"
    assert counts["imaging"]["trainable"] == 0 < counts["imaging"]["all"]
    assert counts["vitals"]["trainable"] == counts["vitals"]["all"]
    assert counts["together"]["all"] == sum(part["all"] for name, part in counts.items() if name != "together")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"learns": "some"}, "modalities.text: learns"),
        ({"learns": "all", "frozen": True}, "frozen: true contradicts learns: all"),
        ({"lora": {"rank": 4}}, "lora has a meaning with learns: lora alone"),
        ({"learns": "lora", "lora": {"rank": 0}}, "modalities.text: lora.rank"),
        ({"learns": "all", "last_blocks": 2}, "last_blocks has a meaning with learns: last alone"),
    ],
)
def test_a_contradiction_is_told_when_the_configuration_is_read(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidConfig, match=said):
        config(text=options)


@pytest.mark.parametrize(
    ("modality", "options", "said"),
    [
        ("text", {"learns": "last", "last_blocks": 9}, "9 of them were to learn, and this encoder has 2 blocks"),
        ("vitals", {"learns": "last"}, "no blocks to tell apart"),
        ("vitals", {"learns": "lora"}, "takes no adapters"),
    ],
)
def test_what_an_encoder_cannot_do_is_told(modality: str, options: dict[str, Any], said: str) -> None:
    parts = {**config().modalities, modality: {**config().modalities[modality], **options}}
    with pytest.raises(InvalidConfig, match=said):
        network_of(tiny_config(modalities=parts))


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phantom_folder(tmp_path_factory.mktemp("snapshot"), count=40)


def quietly(chosen: ModelConfig, snapshot: Path, out: Path, **options: Any) -> TrainedModel:
    return train(chosen, snapshot, out, device="cpu", **{"progress": lambda _: None, **options})


PARTLY = config(imaging={"learns": "last"}, text=LORA, training={"epochs": 3, "batch_size": 16})


def test_a_bundle_of_a_network_that_had_adapters_is_a_plain_one(snapshot: Path, tmp_path: Path) -> None:
    from clinical_mm.predictor import load_model

    made = quietly(PARTLY, snapshot, tmp_path)
    weights = load_file(made.folder / "models/model.safetensors")
    assert (
        weights.keys() == build_network(config(), modalities_of(config(), Catalogue.load()), ("a",)).state_dict().keys()
    )
    stored = load_file(tmp_path / "checkpoint/last.safetensors")
    assert {name.split(".")[1] for name in stored if name.startswith("encoders.")} == {"imaging", "text", "vitals"}
    assert not any("word_embeddings" in name or "conv0" in name for name in stored), "only what is trained is stored"
    assert made.card["parameters"]["text"]["trainable"] < made.card["parameters"]["text"]["all"] / 100
    answer = load_model(made.folder, device="cpu").predict([next(d.case for d in draw(5, seed=3))])
    assert answer[0].diagnoses


def test_a_cancelled_training_of_parts_goes_on_to_the_same_bits(snapshot: Path, tmp_path: Path) -> None:
    asked = iter([False] * 4 + [True])
    with pytest.raises(Cancelled):
        quietly(PARTLY, snapshot, tmp_path / "cut", cancelled=lambda: next(asked))
    assert (tmp_path / "cut/checkpoint").exists()
    cut, whole = (weights_of(quietly(PARTLY, snapshot, tmp_path / name)) for name in ("cut", "whole"))
    assert all(cut[name].equal(whole[name]) for name in whole)


def weights_of(made: TrainedModel) -> dict[str, Tensor]:
    return load_file(made.folder / "models/model.safetensors")


def batch() -> tuple[Any, Tensor]:
    parts = modalities_of(config(), Catalogue.load())
    cases = [d.case for d in draw(20, seed=5) if d.case.images and d.case.note and d.case.vitals][:2]
    return collate(parts, [{name: part.read(case) for name, part in parts.items()} for case in cases])
