from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from clinical_mm.errors import InvalidConfig
from clinical_mm.vision.networks import build_network, feature_map
from clinical_mm.vision.weights import load_weights

OPTIONS = {"init_features": 8, "growth_rate": 4, "block_config": [1, 1]}


def a_network(channels: int = 1) -> nn.Module:
    return build_network("DenseNet", 2, channels, OPTIONS)


def test_weights_of_the_same_network_fit_entirely(tmp_path: Path) -> None:
    source, target, path = a_network(), a_network(), tmp_path / "weights.safetensors"
    save(source.state_dict(), path)
    report = load_weights(target, str(path))
    assert report.missing == report.mismatched == report.unused == ()
    assert all(torch.equal(v, source.state_dict()[n]) for n, v in target.state_dict().items())


def test_what_does_not_fit_is_told(tmp_path: Path) -> None:
    state = dict(a_network().state_dict())
    del state["features.norm0.weight"]
    state["class_layers.out.bias"] = torch.zeros(7)
    state["other"] = torch.zeros(1)
    save(state, tmp_path / "w.safetensors")
    report = load_weights(a_network(), str(tmp_path / "w.safetensors"))
    assert report.missing == ("features.norm0.weight",)
    assert report.mismatched == ("class_layers.out.bias",)
    assert report.unused == ("other",)


def test_torchxrayvisions_densenet_fits_but_for_its_classifier(tmp_path: Path) -> None:
    """``features.denseblock1.denselayer1.norm1.weight``, a grey first convolution, 18 outputs, thresholds beside them."""
    source, target = a_network(), a_network()
    theirs = {n.replace(".layers.", "."): v for n, v in source.state_dict().items() if n.startswith("features.")}
    outputs = {
        "classifier.weight": torch.zeros(18, 10),
        "classifier.bias": torch.zeros(18),
        "op_threshs": torch.zeros(18),
    }
    assert "features.denseblock1.denselayer1.norm1.weight" in theirs
    assert theirs["features.conv0.weight"].shape[1] == 1
    save({**theirs, **outputs}, tmp_path / "nih.safetensors")
    report = load_weights(target, str(tmp_path / "nih.safetensors"))
    assert set(report.unused) == set(outputs)
    assert all(name.startswith("class_layers.") for name in report.missing)
    assert all(torch.equal(target.state_dict()[n], v) for n, v in source.state_dict().items() if n in report.fitted)


@pytest.mark.parametrize("name", ["densenet.pt", "densenet.pth", "densenet.bin", "densenet.ckpt"])
@pytest.mark.parametrize("whole", [True, False], ids=["network", "tensors alone"])
def test_a_pickle_is_refused_whatever_it_holds_and_says_what_to_do(tmp_path: Path, name: str, whole: bool) -> None:
    network = a_network()
    torch.save(network if whole else network.state_dict(), tmp_path / name)
    with pytest.raises(InvalidConfig, match=r"save its state_dict\(\) with safetensors"):
        load_weights(a_network(), str(tmp_path / name))


def test_the_folder_of_a_monai_bundle_is_read(tmp_path: Path) -> None:
    source, target = a_network(), a_network()
    (tmp_path / "models").mkdir()
    save(source.state_dict(), tmp_path / "models" / "model.safetensors")
    assert load_weights(target, str(tmp_path)).missing == ()
    assert all(torch.equal(v, source.state_dict()[n]) for n, v in target.state_dict().items())


def test_a_bundle_that_holds_a_pickle_alone_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    torch.save(a_network().state_dict(), tmp_path / "models" / "model.pt")
    with pytest.raises(InvalidConfig, match="may hold a pickle"):
        load_weights(a_network(), str(tmp_path))


def test_a_pickle_of_the_hub_is_refused_before_it_is_fetched() -> None:
    with pytest.raises(InvalidConfig, match="may hold a pickle"):
        load_weights(a_network(), "owner/name:pytorch_model.bin")


def test_a_folder_that_is_no_bundle_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"no MONAI bundle, without models/model\.safetensors"):
        load_weights(a_network(), str(tmp_path))


@pytest.mark.parametrize(("name", "options"), [("DenseNet", OPTIONS), ("resnet10", {})], ids=["dense", "residual"])
def test_the_image_encoder_of_a_bundle_of_ours_starts_another(
    tmp_path: Path, name: str, options: dict[str, object]
) -> None:
    source, target = (build_network(name, 2, 1, options) for _ in range(2))
    theirs = feature_map(source).state_dict()
    (tmp_path / "models").mkdir()
    ours = {f"encoders.imaging.features.{n}": v for n, v in theirs.items()}
    save({**ours, "head.1.bias": torch.zeros(2)}, tmp_path / "models" / "model.safetensors")
    report = load_weights(target, str(tmp_path))
    assert report.unused == ("head.1.bias",)
    assert all(torch.equal(v, theirs[n]) for n, v in feature_map(target).state_dict().items())


def test_torchvision_names_prefixes_and_colours_are_understood(tmp_path: Path) -> None:
    colour = a_network(channels=3)
    theirs = {f"module.{n.replace('.layers.', '.')}": v for n, v in colour.state_dict().items()}
    save(theirs, tmp_path / "w.safetensors")
    target = a_network()
    report = load_weights(target, str(tmp_path / "w.safetensors"))
    assert report.unused == ()
    first = "features.conv0.weight"
    torch.testing.assert_close(target.state_dict()[first], colour.state_dict()[first].sum(1, keepdim=True))


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path, trace = tmp_path / "evil.pt", tmp_path / "ran"
    path.write_bytes(pickle.dumps(Evil(str(trace))))
    with pytest.raises(InvalidConfig, match="is not read"):
        load_weights(a_network(), str(path))
    assert not trace.exists()


@pytest.mark.parametrize("source", ["gone.safetensors", "not a name", "no-such-owner/no-such-model"])
def test_weights_that_are_not_there_are_named(source: str) -> None:
    with pytest.raises(InvalidConfig, match=r"imaging\.weights"):
        load_weights(a_network(), source)


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    save({"a": torch.zeros(2)}, tmp_path / "w.safetensors")
    with pytest.raises(InvalidConfig, match="nothing in"):
        load_weights(a_network(), str(tmp_path / "w.safetensors"))


class Evil:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (self.path, "w")


def save(state: dict[str, Tensor], path: Path) -> None:
    save_file(state, path)
