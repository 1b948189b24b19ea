"""The protocol of a tracker, and several as one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from clinical_mm.errors import Cancelled

Status = Literal["succeeded", "failed", "cancelled"]


class Tracker(Protocol):
    """Keeps what a training tells; never a word of a patient.

    The training of a folder that was begun before goes on: ``begin`` comes again, and steps may be told twice.
    """

    def begin(self, name: str, params: Mapping[str, Any]) -> None:
        """A training begins or goes on; ``params``: its configuration by dotted names."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """What was measured at a step; a name may have a prefix: ``member-1/train_loss``."""

    def tags(self, values: Mapping[str, str]) -> None:
        """What the training is called elsewhere: hashes and ids."""

    def artefact(self, path: Path) -> None:
        """A file that came of it."""

    def end(self, status: Status) -> None:
        """Nothing more comes; the last call, also of a training that never began."""


@dataclass(frozen=True)
class Each:
    """All of them."""

    trackers: Sequence[Tracker]

    def begin(self, name: str, params: Mapping[str, Any]) -> None:
        """Pass on."""
        for one in self.trackers:
            one.begin(name, params)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Pass on."""
        for one in self.trackers:
            one.metrics(step, values)

    def tags(self, values: Mapping[str, str]) -> None:
        """Pass on."""
        for one in self.trackers:
            one.tags(values)

    def artefact(self, path: Path) -> None:
        """Pass on."""
        for one in self.trackers:
            one.artefact(path)

    def end(self, status: Status) -> None:
        """Pass on."""
        for one in self.trackers:
            one.end(status)


NOBODY = Each(())
"""Keeps nothing."""


@contextmanager
def tracked(tracker: Tracker) -> Iterator[None]:
    """Tell how what is done inside ends."""
    try:
        yield
    except (Cancelled, KeyboardInterrupt, SystemExit):
        tracker.end("cancelled")
        raise
    except BaseException:
        tracker.end("failed")
        raise
    tracker.end("succeeded")
