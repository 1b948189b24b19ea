"""A model's training once more: what it takes, out of the model's bundle, and how the second outcome differs.

Only labels and cases may have changed since; configuration, catalogue and split are the bundle's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinical_mm.bundle_layout import CARD, MODEL, SPLIT, read_json
from clinical_mm.catalogue import Catalogue
from clinical_mm.config import ModelConfig
from clinical_mm.errors import InvalidBundle

SHOWN = 12
"""Most names or numbers that one sentence lists."""


@dataclass(frozen=True)
class Recipe:
    """What a model was made of.

    Attributes:
        parts: ids of the cases that taught, chose and judged, and of those ``left_out`` of the snapshot.
        card: the model's.
    """

    config: ModelConfig
    catalogue: Catalogue
    parts: Mapping[str, list[str]]
    card: dict[str, Any]

    @property
    def cases(self) -> list[str]:
        """The ids of every case of the snapshot."""
        return [name for part in self.parts.values() for name in part]


def recipe_of(bundle: Path) -> Recipe:
    """Read a bundle's recipe; its weights are not touched.

    Raises:
        InvalidBundle: a part of the bundle is missing or damaged.
    """
    model = read_json(bundle / MODEL)
    try:
        config, catalogue = ModelConfig.parse(model["config"]), Catalogue.model_validate(model["catalogue"])
    except (KeyError, ValueError) as error:
        raise InvalidBundle(f"{bundle}: not a usable bundle: {error}") from error
    return Recipe(config, catalogue, read_json(bundle / SPLIT), read_json(bundle / CARD))


def compare(before: Mapping[str, Any], after: Mapping[str, Any], gone: Collection[str] = ()) -> list[str]:
    """Sentences that say how the second training differs from the first.

    Args:
        before: card of the model whose training was repeated.
        after: card of the model that came out.
        gone: ids of the first one's cases that there were no more.
    """
    told = [f"{len(gone)} of its cases are gone since, or no longer labelled: {_some(gone)}"] if gone else []
    if before["data"]["snapshot_sha256"] == after["data"]["snapshot_sha256"]:
        told.append("the cases and their labels are the same")
    elif not gone:
        told.append("a case or a label has changed since")
    around = [*_differences(before, after, "versions"), *_differences(before, after, "circumstances")]
    told += [f"it ran under other circumstances: {_some(around)}"] if around else []
    numbers = _differences(before, after, "metrics")
    told.append(f"metrics differ: {_some(numbers)}" if numbers else "metrics are equal")
    return told


def _differences(before: Mapping[str, Any], after: Mapping[str, Any], part: str) -> list[str]:
    old, new = dict(_leaves(before.get(part, {}))), dict(_leaves(after.get(part, {})))
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return [f"{name} {old.get(name)} -> {new.get(name)}" for name in names]


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """``{"a": {"b": 1}}`` -> ``("a.b", 1)``."""
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        yield name, value
        return
    for key, inner in items:
        yield from _leaves(inner, f"{name}.{key}".removeprefix("."))


def _some(names: Collection[str]) -> str:
    shown = ", ".join(list(names)[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"
