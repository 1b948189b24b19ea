"""Nested values by dotted names, as trackers keep them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """``{"a": {"b": 1}}`` as ``{"a.b": 1}``; lists stay as they are."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{before}{name}.")
        else:
            found[f"{before}{name}"] = value
    return found


def measured(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The numbers alone; an estimate's ``value`` goes by the estimate's own name, its interval beside it."""
    numbers = {name: v for name, v in flat(metrics).items() if isinstance(v, int | float) and not isinstance(v, bool)}
    return {name.removesuffix(".value"): float(value) for name, value in numbers.items()}
