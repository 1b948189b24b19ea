"""Losses over epochs as lines to draw: places in per cent of width and height."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NAMES = {"train_loss": "training", "validation_loss": "validation"}
MOST_POINTS = 300
Points = Mapping[int, float]


@dataclass(frozen=True)
class Line:
    """One network's losses on one part; ``path`` is an SVG path."""

    part: str
    path: str


@dataclass(frozen=True)
class Curve:
    """Both losses of each network.

    Attributes:
        newest: the last loss by part, of the network that was told last.
        best: epoch, validation loss and SVG path of the epoch whose weights stay; None for a committee.
    """

    lines: tuple[Line, ...]
    top: float
    bottom: float
    epochs: int
    newest: Mapping[str, float]
    best: tuple[int, float, str] | None

    @property
    def said(self) -> str:
        """The curve in words."""
        now = ", ".join(f"{part} {loss:.3f}" for part, loss in self.newest.items())
        best = "" if self.best is None else f"; lowest validation loss {self.best[1]:.3f} in epoch {self.best[0]}"
        return f"Loss by epoch, now {now}{best}"


def curve_of(told: Mapping[str, Points], planned: int = 0) -> Curve | None:
    """The curve of what a training measured, as wide as the epochs it may take; None before the first one's end."""
    losses = {name: points for name, points in told.items() if name.rpartition("/")[2] in NAMES and points}
    if not losses:
        return None
    values = [loss for points in losses.values() for loss in points.values()]
    epochs = max(planned, *(max(points) for points in losses.values()))
    low, high = min(values), max(values)
    reach = (high - low) or max(abs(high), 1e-6)

    def place(epoch: int, loss: float) -> str:
        across = 50.0 if epochs == 1 else 100 * (epoch - 1) / (epochs - 1)
        return f"{across:.2f} {96 - 92 * (loss - low) / reach:.2f}"

    lines = tuple(Line(_part(name), _path([place(*p) for p in _thinned(points)])) for name, points in losses.items())
    validated = [p for name, points in losses.items() if _part(name) == "validation" for p in points.items()]
    best = min(validated, key=lambda p: p[1]) if len(losses) == len(NAMES) else None
    newest = {_part(name): points[max(points)] for name, points in losses.items()}
    return Curve(lines, high, low, epochs, newest, best and (*best, f"M{place(*best)}h0"))


def _part(name: str) -> str:
    return NAMES[name.rpartition("/")[2]]


def _thinned(points: Points) -> list[tuple[int, float]]:
    ordered = sorted(points.items())
    return ordered[:: len(ordered) // MOST_POINTS + 1] + ordered[-1:]


def _path(places: list[str]) -> str:
    return f"M{places[0]}L{' '.join(places)}"
