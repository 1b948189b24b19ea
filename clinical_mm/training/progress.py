"""How far a training is: told to a callback, or drawn as bars where a person watches."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

_log = logging.getLogger(__name__)
STAGES = ("reading", "features", "aligning", "training", "calibrating", "evaluating", "explaining", "saving")
SHARES = (0.08, 0.2, 0.1, 0.46, 0.02, 0.04, 0.08, 0.02)
"""Rough share that each stage takes of the time of one training."""
SEARCHING = "searching"
"""The stage before them, where values are searched for: a training a trial."""


@dataclass(frozen=True)
class Progress:
    """Where it is; ``fraction`` is of the whole, 0 to 1."""

    stage: str
    fraction: float
    epoch: int = 0
    epochs: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    eta_s: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data, as the REST answer shows it."""
        return asdict(self)


Listener = Callable[[Progress], None]


class Diary:
    """Logs each stage as it begins and each epoch as it ends: what is left to read of an unwatched training."""

    def __init__(self) -> None:
        self._stage, self._epoch = "", 0

    def __call__(self, progress: Progress) -> None:
        """Say what is new; measures of an epoch are known when the next one, or the next stage, begins."""
        if self._epoch and (progress.stage, progress.epoch) != ("training", self._epoch):
            measured = "".join(f", {name.replace('_', ' ')} {value:.3f}" for name, value in progress.metrics.items())
            _log.info("epoch %d of %d%s", self._epoch, progress.epochs, measured)
        if progress.stage != self._stage:
            _log.info("%s", progress.stage)
        self._stage, self._epoch = progress.stage, progress.epoch if progress.stage == "training" else 0


class Reporter:
    """Turns steps within stages into Progress, at most a few a second."""

    def __init__(self, listener: Listener | None, epochs: int, trials: int = 0) -> None:
        self._listener = listener
        self._trials = trials
        self.epochs = epochs
        self._started = time.monotonic()
        self._told = 0.0
        self._stage = ""
        self._bar: Any = None
        self.epoch = 0
        self.member, self.members = 0, 1
        self.metrics: dict[str, float] = {}

    def step(self, stage: str, done: float, total: float) -> None:
        """Say that ``done`` of ``total`` of a stage is over; of training, that of the member at hand."""
        if stage == "training":
            done, total = self.member * total + done, self.members * total
        fraction = self._fraction(stage, done, total)
        if self._listener is None:
            self._draw(stage, done, total)
            return
        moment = time.monotonic()
        if stage == self._stage and done < total and moment - self._told < 0.3:
            return
        self._stage, self._told = stage, moment
        spent = moment - self._started
        eta = spent * (1 - fraction) / fraction if fraction > 0.02 else None
        told = Progress(
            stage,
            round(fraction, 4),
            self.epoch,
            self.epochs,
            dict(self.metrics),
            None if eta is None else round(eta, 1),
        )
        self._listener(told)

    def _fraction(self, stage: str, done: float, total: float) -> float:
        searched = self._trials / (self._trials + 1)
        if stage == SEARCHING:
            return searched * done / max(total, 1e-9)
        return searched + (1 - searched) * fraction_of_training(stage, done, total)

    def _draw(self, stage: str, done: float, total: float) -> None:
        from tqdm import tqdm

        if stage != self._stage:
            self.close()
            self._stage = stage
            self._bar = tqdm(
                total=total, desc=stage, disable=None, leave=True, bar_format="{l_bar}{bar}| {elapsed}{postfix}"
            )
        self._bar.n = done
        if self.metrics:
            self._bar.set_postfix(
                {k: f"{v:.3f}" if isinstance(v, float) else v for k, v in self.metrics.items()}, refresh=False
            )
        self._bar.refresh()

    def close(self) -> None:
        """End the bar that is drawn."""
        if self._bar is not None:
            self._bar.close()


class TrialReporter(Reporter):
    """Passes the steps of one trial's training on as a part of the search."""

    def __init__(self, search: Reporter, trial: int, trials: int) -> None:
        """``trial``: how many have come to their end."""
        super().__init__(None, 0)
        self._search, self._trial, self._of = search, trial, trials

    def step(self, stage: str, done: float, total: float) -> None:
        """Say that ``done`` of ``total`` of a stage of this trial is over."""
        self._search.step(SEARCHING, self._trial + fraction_of_training(stage, done, total), self._of)


def fraction_of_training(stage: str, done: float, total: float) -> float:
    """How much of one training is over, 0 to 1."""
    place = STAGES.index(stage)
    return sum(SHARES[:place]) + SHARES[place] * (done / max(total, 1e-9))
