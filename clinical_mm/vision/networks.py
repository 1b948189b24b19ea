"""MONAI networks by name, cut off before their pooling, so that they give a feature map."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch import nn

from clinical_mm.errors import InvalidConfig

KNOWN = (
    *("DenseNet", "DenseNet121", "DenseNet169", "DenseNet201", "DenseNet264"),
    *("resnet10", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnet200"),
    *("SEResNet50", "SEResNet101", "SEResNet152", "SEResNext50", "SEResNext101", "SENet154"),
)
"""Names that are tested here; any other class of ``monai.networks.nets`` with ``features`` or ``layer4`` works too."""


def build_network(name: str, spatial_dims: int, channels: int, options: Mapping[str, Any]) -> nn.Module:
    """The whole MONAI network, for loading weights by their names; ``feature_map`` cuts it.

    Raises:
        InvalidConfig: MONAI has no such network, or it takes no such options.
    """
    from monai.networks import nets

    if options.get("pretrained"):
        raise InvalidConfig(
            "imaging.network.options.pretrained fetches a pickle: say imaging.weights, a safetensors file"
        )
    make = getattr(nets, name, None) or getattr(nets, name.lower(), None)
    if not callable(make):
        raise InvalidConfig(f"imaging.network.name: MONAI has no network {name!r}; known: {', '.join(KNOWN)}")
    arguments = {**_sizes(make, name, spatial_dims, channels), **{k: _tuples(v) for k, v in options.items()}}
    if "pretrained" in inspect.signature(make).parameters:
        arguments["pretrained"] = False  # some would else fetch weights by themselves
    try:
        network: nn.Module = make(**arguments)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise InvalidConfig(f"imaging.network: {name} cannot be built: {error}") from error
    return network


def feature_map(network: nn.Module) -> nn.Module:
    """The convolutional part: ``[R, C, H, W]`` -> ``[R, width, h, w]``, likewise in three dimensions.

    Raises:
        InvalidConfig: the network has no part that gives a feature map.
    """
    features = getattr(network, "features", None)
    if isinstance(features, nn.Module):
        return features
    children = OrderedDict(network.named_children())
    if "layer4" not in children:
        raise InvalidConfig(f"imaging.network: {type(network).__name__} has neither `features` nor `layer4`")
    names = list(children)
    return nn.Sequential(OrderedDict((n, children[n]) for n in names[: names.index("layer4") + 1]))


def _sizes(make: Any, name: str, spatial_dims: int, channels: int) -> dict[str, Any]:
    """MONAI names the same two arguments differently from network to network."""
    if name.lower().startswith("resnet"):
        # A stride of 2 in the first convolution, as published; MONAI's default of 1 costs four times the time.
        return {"spatial_dims": spatial_dims, "n_input_channels": channels, "num_classes": 1, "conv1_t_stride": 2}
    outputs = "out_channels" if "out_channels" in inspect.signature(make).parameters else "num_classes"
    return {"spatial_dims": spatial_dims, "in_channels": channels, outputs: 1}


def _tuples(value: Any) -> Any:
    """YAML's lists as the tuples that MONAI asks for: ``norm: [group, {num_groups: 8}]``."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
