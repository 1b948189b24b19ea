"""Bundles: the MONAI layout, safetensors, nothing to download, nothing that runs code."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import numpy as np
import pytest

from clinical_mm import load_model
from clinical_mm.case import Case
from clinical_mm.errors import InvalidBundle
from clinical_mm.predictor import Predictor


def test_the_layout_is_that_of_a_monai_bundle(trained_bundle: Path) -> None:
    for name in ("configs/metadata.json", "configs/inference.json", "docs/README.md", "models/model.safetensors"):
        assert (trained_bundle / name).is_file(), name
    metadata = json.loads((trained_bundle / "configs/metadata.json").read_text(encoding="utf-8"))
    assert {"version", "monai_version", "pytorch_version", "numpy_version", "network_data_format"} <= set(metadata)


def test_a_bundle_loads_without_a_network(trained_bundle: Path, monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a bundle must not reach for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert load_model(trained_bundle, device="cpu").predict([case])


def test_the_same_bundle_gives_the_same_answers(trained_bundle: Path, predictor: Predictor, case: Case) -> None:
    again = load_model(trained_bundle, device="cpu")
    np.testing.assert_allclose(again.logits([case]), predictor.logits([case]), rtol=0, atol=1e-6)
    assert again.identity == predictor.identity


@pytest.mark.parametrize("name", ["models/model.pt", "extra.PKL", "assets/text/pytorch_model.bin"])
def test_a_file_that_may_hold_a_pickle_is_refused_with_the_reason(bundle_copy: Path, name: str) -> None:
    (bundle_copy / name).write_bytes(b"\x80\x04.")
    with pytest.raises(InvalidBundle, match=r"may hold a pickle.*only safetensors"):
        load_model(bundle_copy)


@pytest.mark.parametrize("name", ["configs/model.json", "models/model.safetensors", "docs/card.json"])
def test_a_damaged_bundle_is_refused(bundle_copy: Path, name: str) -> None:
    path = bundle_copy / name
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InvalidBundle):
        load_model(bundle_copy)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidBundle, match="no such folder"):
        load_model(tmp_path / "nothing")


def test_the_card_tells_use_data_metrics_and_versions(predictor: Predictor) -> None:
    card = predictor.card
    assert "never makes one" in card["intended_use"]
    assert card["data"]["synthetic"] is True
    assert card["data"]["train"] + card["data"]["validation"] + card["data"]["test"] == card["data"]["labelled_cases"]
    assert len(card["data"]["snapshot_sha256"]) == 64
    assert card["versions"]["torch"]
    assert card["metrics"]["test"]["macro_auroc"]["value"] is not None
