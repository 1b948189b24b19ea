"""What a configuration takes from outside itself: weights and models of the machine or of a hub, networks by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from clinical_mm.config import ModelConfig

BORROWED = ("modalities.imaging.weights", "modalities.imaging.network.name", "modalities.text.model")
"""Dotted names of every value that leads out: to a file, to a hub, to code."""


def borrowed(config: ModelConfig) -> Iterator[tuple[str, str]]:
    """Each such name with its value, those that a search would try as well."""
    space = config.search.space
    tried = (config.with_values({name: value}) for name, values in space.items() for value in values.probes())
    for one in (config, *tried):
        for name in BORROWED:
            value = _value(one.modalities, name)
            if value is not None:
                yield name, str(value)


def _value(modalities: Any, dotted: str) -> Any:
    found = modalities
    for key in dotted.split(".")[1:]:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found
