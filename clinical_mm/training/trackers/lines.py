"""Measurements as lines of JSON beside the log: what the service's page of a run draws."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clinical_mm.training.trackers.base import Status

METRICS = "metrics.jsonl"


class Lines:
    """Keeps an object a step in a file; of a step that was told twice the later one counts."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, name: str, params: Mapping[str, Any]) -> None:
        """Nothing: the training's folder holds its configuration."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Append a line."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")

    def tags(self, values: Mapping[str, str]) -> None:
        """Nothing: the card holds them."""

    def artefact(self, path: Path) -> None:
        """Nothing: it lies beside."""

    def end(self, status: Status) -> None:
        """Nothing is open."""


def read_lines(path: Path) -> dict[str, dict[int, float]]:
    """What ``Lines`` kept: name -> step -> value; empty where nothing was measured."""
    found: dict[str, dict[int, float]] = {}
    if not path.exists():
        return found
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            values = json.loads(line)
        except ValueError:  # being written at this moment, or cut by a kill
            continue
        step = values.pop("step")
        for name, value in values.items():
            found.setdefault(name, {})[step] = value
    return found
