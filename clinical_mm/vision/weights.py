"""Pretrained weights: from a file, a bundle or the Hugging Face hub into a network, telling which of them fitted.

Understood besides MONAI's own names: torchvision's and TorchXRayVision's of DenseNet layers, prefixes that trainers put
before them, and this project's own bundles, whose image encoder is one part of several.

Only safetensors load. A ``.pt`` file is a pickle, and torch's ``weights_only`` has been got round twice
(CVE-2025-32434, CVE-2026-24747): what reads no pickle cannot be.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from clinical_mm.bundle_layout import UNSAFE, WEIGHTS
from clinical_mm.errors import InvalidConfig

_SUFFIX = ".safetensors"
_HUB_NAME = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(:(?P<file>[\w./-]+))?")
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
        source: ``file.safetensors``, the folder of a MONAI bundle, or ``owner/name[:file]`` of the hub.

    Raises:
        InvalidConfig: no such file, a pickle or an unreadable one, or nothing in it fits.
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
    if path.is_dir():
        return _bundled(path)
    if path.suffix in UNSAFE | {_SUFFIX} and ":" not in source:
        _refuse_pickle(path)
        if not path.is_file():
            raise InvalidConfig(f"imaging.weights: no such file: {source}")
        return path
    match = _HUB_NAME.fullmatch(source)
    if match is None:
        raise InvalidConfig(f"imaging.weights: neither a {_SUFFIX} file, a bundle nor owner/name: {source}")
    name = match["file"] or WEIGHTS.name
    _refuse_pickle(Path(name))
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(hf_hub_download(match["repo"], name))
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise InvalidConfig(f"imaging.weights: the hub does not give {source}: {error}") from error


def _bundled(folder: Path) -> Path:
    weights = folder / WEIGHTS
    if not weights.is_file():
        _refuse_pickle(next(iter(sorted((folder / WEIGHTS.parent).glob("*.pt"))), weights))
        raise InvalidConfig(f"imaging.weights: {folder}: no MONAI bundle, without {WEIGHTS}")
    return weights


def _refuse_pickle(path: Path) -> None:
    if path.suffix != _SUFFIX:
        raise InvalidConfig(
            f"imaging.weights: {path.name} is not read: it may hold a pickle, and loading one can run code; where you "
            "trust it, load it elsewhere and save its state_dict() with safetensors.torch.save_file"
        )


def _read(path: Path) -> Mapping[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InvalidConfig(f"imaging.weights: {path.name} is not read: {type(error).__name__}") from error


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
