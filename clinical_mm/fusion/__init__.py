"""Ways to join the tokens of several modalities, one file each.

A new one is its file alone: ``fusion/<name>.py`` with one subclass of ``Fusion`` in it; a model's YAML then says
``fusion: {name: <name>}``.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from clinical_mm.errors import InvalidConfig
from clinical_mm.fusion.base import Fused, Fusion

__all__ = ["Fused", "Fusion", "fusion", "known_fusions"]


def known_fusions() -> list[str]:
    """Names that a model's YAML may say."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "base")


def fusion(name: str, widths: Mapping[str, int], options: Mapping[str, Any]) -> Fusion:
    """The fusion of that name for modalities of these token widths; raises InvalidConfig."""
    if name not in known_fusions():
        raise InvalidConfig(f"unknown fusion {name!r}; known: {', '.join(known_fusions())}")
    module = importlib.import_module(f"{__name__}.{name}")
    [found] = [
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, Fusion) and member.__module__ == module.__name__
    ]
    try:
        built: Fusion = found(widths, options)
    except ValidationError as error:
        raise InvalidConfig(f"fusion {name}: {error}") from error
    return built
