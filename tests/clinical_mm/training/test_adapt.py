"""A new task from an old model: what fits is taken over by name, and the rest is told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

from clinical_mm.bundle import Bundle, load_bundle
from clinical_mm.catalogue import Catalogue
from clinical_mm.config import ModelConfig
from clinical_mm.modalities import modalities_of
from clinical_mm.network import MultimodalNetwork, build_network
from clinical_mm.training.adapt import StartedFrom, fold, start_from
from clinical_mm.training.run import TrainedModel, train
from tests.models import phantom_folder, tiny_config

TINY = tiny_config().modalities


@pytest.fixture(scope="module")
def old(trained_bundle: Path) -> Bundle:
    return load_bundle(trained_bundle)


def adapted(old: Bundle, config: ModelConfig, diagnoses: Sequence[str]) -> tuple[MultimodalNetwork, StartedFrom]:
    torch.manual_seed(7)
    modalities = modalities_of(config, Catalogue.load())
    network = build_network(config, modalities, diagnoses)
    return network, start_from(old, network, modalities, diagnoses)


def test_the_same_task_takes_everything_over(old: Bundle) -> None:
    network, told = adapted(old, tiny_config(), old.diagnoses)
    assert (told.reused, told.new, told.dropped) == (("encoders", "fusion", "head"), (), ())
    assert (told.name, told.sha256) == ("tiny", old.sha256)
    assert all(value.equal(old.network.state_dict()[name]) for name, value in network.state_dict().items())


def test_a_head_keeps_the_rows_of_the_diagnoses_in_common(old: Bundle) -> None:
    gone, *kept = old.diagnoses
    wanted = [*reversed(kept), "gout"]
    network, told = adapted(old, tiny_config(), wanted)
    before, after = old.network.state_dict()["head.1.weight"], network.state_dict()["head.1.weight"]
    for code in kept:
        assert after[wanted.index(code)].equal(before[old.diagnoses.index(code)])
    assert "head.1.weight[gout]" in told.new
    assert f"head.1.weight[{gone}]" in told.dropped
    assert f"head.1.bias[{', '.join(reversed(kept))}]" in told.reused


def test_vitals_keep_their_rows_by_name(old: Bundle) -> None:
    config = tiny_config(modalities={**TINY, "vitals": {"width": 16, "names": ["spo2", "heart_rate"]}})
    network, told = adapted(old, config, old.diagnoses)
    rows = old.modalities["vitals"].rows()["slopes"]
    for name in ("names", "slopes", "offsets"):
        before, after = (n.state_dict()[f"encoders.vitals.{name}"] for n in (old.network, network))
        assert after[0].equal(before[rows.index("spo2")])
        assert after[1].equal(before[rows.index("heart_rate")])
    assert "encoders.vitals.slopes[spo2, heart_rate, patient.age_years, patient.sex]" in told.reused
    assert told.new == ()


def test_a_modality_that_is_new_starts_fresh_and_one_that_is_gone_is_dropped(old: Bundle) -> None:
    config = tiny_config(modalities={"vitals": TINY["vitals"], "imaging": TINY["imaging"]})
    network, told = adapted(old, config, old.diagnoses)
    assert {"encoders.text", "fusion.project.text", "fusion.kind[text]"} <= set(told.dropped)
    assert "fusion.kind[vitals, imaging]" in told.reused
    kinds = old.network.state_dict()["fusion.kind"]
    assert network.state_dict()["fusion.kind"].equal(kinds[[2, 0]]), "by the modality's name, not by its place"


def test_a_network_of_another_width_starts_fresh(old: Bundle) -> None:
    fusion = {"name": "cross_attention", "options": {"width": 16, "queries": 2, "layers": 1, "heads": 2}}
    _, told = adapted(old, tiny_config(fusion=fusion), old.diagnoses)
    assert "encoders" in told.reused
    assert "fusion.queries" in told.new
    assert {"fusion.queries", "head.1.weight"} <= set(told.dropped)


def test_layers_that_read_other_word_pieces_are_not_mixed_in(old: Bundle, tmp_path: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "fever", "cough"]
    size = {"hidden_size": 384, "num_attention_heads": 12, "intermediate_size": 1536, "num_hidden_layers": 2}
    BertModel(BertConfig(vocab_size=len(words), **size)).save_pretrained(tmp_path)
    BertTokenizerFast(vocab={word: number for number, word in enumerate(words)}).save_pretrained(tmp_path)
    text = {"model": str(tmp_path), "max_tokens": 64, "stride": 16}
    _, told = adapted(old, tiny_config(modalities={**TINY, "text": text}), old.diagnoses)
    assert "encoders.text" in told.new
    assert "encoders.text" in told.dropped


def test_names_are_told_as_the_prefix_they_share() -> None:
    names = ["a.b.x", "a.b.y", "a.c", "d"]
    assert fold(["a.b.x", "a.b.y"], names) == ["a.b"]
    assert fold(["a.b.x", "d"], names) == ["a.b.x", "d"]
    assert fold(names, names) == ["a", "d"]


def quietly(config: ModelConfig, snapshot: Path, out: Path, **options: Any) -> TrainedModel:
    return train(config, snapshot, out, device="cpu", progress=lambda _: None, **options)


def test_a_training_that_starts_from_a_model_begins_better_and_says_so(tmp_path: Path) -> None:
    vitals = {"vitals": {"width": 32}}
    taught = {"epochs": 8, "batch_size": 16, "learning_rate": 0.003, "encoder_learning_rate": 0.003}
    first = phantom_folder(tmp_path / "first", count=200)
    old = quietly(tiny_config(modalities=vitals, training=taught), first, tmp_path / "old").folder
    snapshot = phantom_folder(tmp_path / "snapshot", count=90, seed=4)
    config = tiny_config(modalities=vitals, training={"epochs": 1, "batch_size": 16, "learning_rate": 1e-5})
    fresh = quietly(config, snapshot, tmp_path / "fresh")
    started = quietly(config, snapshot, tmp_path / "started", start=old)
    assert started.metrics["history"][0]["validation_loss"] < fresh.metrics["history"][0]["validation_loss"]
    assert "started_from" not in fresh.card
    told = started.card["started_from"]
    assert told["name"] == "tiny"
    assert "encoders" in told["reused"]
    taught_it = json.loads((old / "docs/split.json").read_text(encoding="utf-8"))["train"]
    judged = json.loads((started.folder / "docs/split.json").read_text(encoding="utf-8"))["test"]
    assert told["test_cases_that_taught_it"] == len({*taught_it} & {*judged})
    refitted, before = (load_bundle(b).modalities["vitals"].state() for b in (started.folder, old))
    assert refitted != before, "what is usual is learned anew from the new cases"
