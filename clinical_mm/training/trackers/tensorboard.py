"""TensorBoard event files in the training's own folder; always kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_mm.training.trackers.base import Status

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoard:
    """Scalars; what has a prefix lies in a folder so named, so that members' curves lie over each other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, SummaryWriter] = {}

    def begin(self, name: str, params: Mapping[str, Any]) -> None:
        """Nothing: the training's folder holds its configuration."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """A scalar each."""
        for name, value in values.items():
            member, _, tag = name.rpartition("/")
            self._writer(member).add_scalar(tag, value, step)
        for writer in self._writers.values():
            writer.flush()

    def tags(self, values: Mapping[str, str]) -> None:
        """Nothing: the card holds them."""

    def artefact(self, path: Path) -> None:
        """Nothing: it lies beside."""

    def end(self, status: Status) -> None:
        """Close the files."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _writer(self, member: str) -> SummaryWriter:
        from torch.utils.tensorboard import SummaryWriter

        if member not in self._writers:
            self._writers[member] = SummaryWriter(str(self._folder / member))
        return self._writers[member]
