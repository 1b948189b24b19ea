"""Pretrained weights: from a file, a bundle or the Hugging Face hub into a network, telling which of them fitted.

Understood besides MONAI's own names: torchvision's and TorchXRayVision's of DenseNet layers, wrappers that trainers put
around a state dict, and this project's own bundles, whose image encoder is one part of several.
"""

from __future__ import annotations

import logging
import pickle
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clinical_mm.errors import InvalidConfig

_SUFFIXES = frozenset({".safetensors", ".pt", ".pth"})
_HUB_NAME = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(:(?P<file>[\w./-]+))?")
_BUNDLED = ("models/model.safetensors", "models/model.pt")
_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "network", "net")
_PREFIX = re.compile(r"^(?:(?:module|model|network|net|backbone|encoder|encoders\.imaging)\.)+")
_TORCHVISION_DENSE = re.compile(r"(denselayer\d+)\.(norm|relu|conv)\.?(\d)")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WeightsReport:
    """What of a weights file went into a network; names are the network's, ``unused`` the file's."""

    source: str
    fitted: tuple[str, ...]
    missing: tuple[str, ...]
    mismatched: tuple[str, ...]
    unused: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data for a model card."""
        return asdict(self)


def load_weights(network: nn.Module, source: str) -> WeightsReport:
    """Copy weights that have the same name and shape into ``network``.

    A first convolution for three colours is summed for one.

    Args:
        network: what to fill.
        source: ``file.safetensors``, ``file.pt`` (``weights_only=True``), the folder of a MONAI bundle, or
            ``owner/name[:file]`` of the hub.

    Raises:
        InvalidConfig: no such file, an unsafe or unreadable one, or nothing in it fits.
    """
    wanted = network.state_dict()
    found = {_plain_name(name, wanted): value for name, value in _read(_file(source)).items()}
    fitting = {n: _to_channels(v, wanted[n]) for n, v in found.items() if n in wanted}
    mismatched = tuple(n for n, v in fitting.items() if v.shape != wanted[n].shape)
    fitted = {n: v for n, v in fitting.items() if n not in mismatched}
    if not fitted:
        raise InvalidConfig(f"imaging.weights: nothing in {source} fits {type(network).__name__}")
    network.load_state_dict(fitted, strict=False)
    missing = tuple(n for n in wanted if n not in fitting)
    unused = tuple(n for n in found if n not in wanted)
    _log.info("weights from %s: %d of %d entries fit", source, len(fitted), len(wanted))
    return WeightsReport(source, tuple(fitted), missing, mismatched, unused)


def _file(source: str) -> Path:
    path = Path(source)
    if path.suffix in _SUFFIXES and ":" not in source:
        if not path.is_file():
            raise InvalidConfig(f"imaging.weights: no such file: {source}")
        return path
    if path.is_dir():
        bundled = next((path / name for name in _BUNDLED if (path / name).is_file()), None)
        if bundled is None:
            raise InvalidConfig(f"imaging.weights: {source}: no MONAI bundle, without {' and without '.join(_BUNDLED)}")
        return bundled
    match = _HUB_NAME.fullmatch(source)
    if match is None:
        raise InvalidConfig(
            f"imaging.weights: neither a file ({', '.join(sorted(_SUFFIXES))}), a bundle nor owner/name: {source}"
        )
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(hf_hub_download(match["repo"], match["file"] or "model.safetensors"))
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise InvalidConfig(f"imaging.weights: the hub does not give {source}: {error}") from error


def _read(path: Path) -> Mapping[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        data = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InvalidConfig(
            f"imaging.weights: {path.name} is not read: it holds more than tensors, such as a whole pickled network, "
            "and loading that runs code; where you trust it, save its state_dict() to a .safetensors file instead"
        ) from error
    except (OSError, RuntimeError, ValueError, EOFError) as error:
        raise InvalidConfig(f"imaging.weights: {path.name} is not read: {type(error).__name__}") from error
    while isinstance(data, Mapping) and (
        inner := next((w for w in _WRAPPERS if isinstance(data.get(w), Mapping)), None)
    ):
        data = data[inner]
    tensors = {str(n): v for n, v in data.items() if isinstance(v, Tensor)} if isinstance(data, Mapping) else {}
    if not tensors:
        raise InvalidConfig(f"imaging.weights: {path.name} holds no state dict")
    return tensors


def _plain_name(name: str, wanted: Collection[str]) -> str:
    """The network's own name for an entry of a file, where it has one."""
    plain = _TORCHVISION_DENSE.sub(r"\1.layers.\2\3", _PREFIX.sub("", name))
    # A bundle of this project calls the convolutional part `features`, whatever the network called its layers.
    bare = plain.removeprefix("features.")
    return bare if plain not in wanted and bare in wanted else plain


def _to_channels(value: Tensor, wanted: Tensor) -> Tensor:
    """A first convolution for three colours as one for grey: what it answers to three equal channels."""
    if value.ndim == wanted.ndim >= 4 and value.shape[1] == 3 and wanted.shape[1] == 1:
        return value.sum(dim=1, keepdim=True)
    return value
