"""Search of a configuration's values before it is trained: each trial a training, judged on the validation part.

Cases of the test part teach no trial and judge none.
Source of the pruner: Golovin et al., Google Vizier, 2017 (median stopping rule).
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.special import softmax

from clinical_mm.config import ModelConfig
from clinical_mm.errors import InvalidConfig, NotEnoughData
from clinical_mm.evaluation.metrics import auroc, macro
from clinical_mm.modalities import modalities_of
from clinical_mm.network import build_network
from clinical_mm.training.fit import Heard
from clinical_mm.training.importance import importance
from clinical_mm.training.prepared import Preparations, Prepared
from clinical_mm.training.progress import SEARCHING, Reporter, TrialReporter
from clinical_mm.training.trials import Trials

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.trial import FrozenTrial

TRIAL = "trial"

Learn = Callable[[ModelConfig, Prepared, Path, Reporter, Heard], None]
"""One training in a folder of its own."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """The configuration with the best values, and the account of how they were found: plain data for a card."""

    config: ModelConfig
    account: dict[str, Any]


@dataclass(frozen=True)
class Search:
    """What a search needs besides its trials."""

    config: ModelConfig
    preparations: Preparations
    learn: Learn
    folder: Path
    reporter: Reporter

    def run(self, trials: Trials) -> Found:
        """Try values until there are enough trials; what an earlier process tried counts.

        Raises:
            InvalidConfig: a value that is no option of the fusion or modality it is for, or no trial ended well.
            NotEnoughData: the validation part has nothing to tell apart.
            Cancelled: as the trainings say.
        """
        wanted = self.config.search.trials
        shutil.rmtree(self.folder / TRIAL, ignore_errors=True)
        if len(trials.over()) < wanted:
            self._refuse_what_cannot_be_built()
        while (done := len(trials.over())) < wanted:
            best = trials.best()
            self.reporter.metrics = {"trial": done + 1, "trials": wanted}
            self.reporter.metrics |= {} if best is None or best.value is None else {"best": round(best.value, 4)}
            self.reporter.step(SEARCHING, done, wanted)
            self._try(trials, TrialReporter(self.reporter, done, wanted))
        self.reporter.metrics = {}
        self.reporter.step(SEARCHING, wanted, wanted)
        return self._found(trials)

    def _try(self, trials: Trials, reporter: Reporter) -> None:
        from optuna.exceptions import TrialPruned

        trial = trials.begin()
        watch = _Watch(trials, trial, self.config.task.kind)
        started = time.monotonic()
        score: float | None = None
        ended: dict[str, str] = {}
        try:
            config = self.config.with_values(trials.values(trial))
            prepared = self._without_test_part(config, reporter)
            watch.judge_by(prepared)
            self.learn(config, prepared, self.folder / TRIAL, reporter, watch)
            score = watch.score
        except TrialPruned:
            pass
        except (InvalidConfig, torch.OutOfMemoryError) as error:
            ended = {"reason": "out of memory" if isinstance(error, torch.OutOfMemoryError) else str(error)}
        finally:
            shutil.rmtree(self.folder / TRIAL, ignore_errors=True)
        account = {"seconds": round(time.monotonic() - started, 1), "epochs": watch.epochs, **ended}
        trials.end(trial, score, account)

    def _without_test_part(self, config: ModelConfig, reporter: Reporter) -> Prepared:
        prepared = self.preparations.of(config, reporter)
        return replace(prepared, parts=replace(prepared.parts, test=()))

    def _refuse_what_cannot_be_built(self) -> None:
        """Options of fusions and modalities are known to them alone: a misspelt one is told before hours of trials."""
        for name, part in self.config.search.space.items():
            if name.partition(".")[0] not in {"fusion", "modalities"}:
                continue
            for value in part.probes():
                config = self.config.with_values({name: value})
                try:
                    build_network(config, modalities_of(config, self.preparations.catalogue), ("a", "b"))
                except InvalidConfig as error:
                    raise InvalidConfig(f"search.space: {name} = {value!r} does not fit: {error}") from error

    def _found(self, trials: Trials) -> Found:
        best, over = trials.best(), trials.over()
        if best is None:
            reasons = sorted({str(t.user_attrs["reason"]) for t in over if "reason" in t.user_attrs})
            raise InvalidConfig(f"none of {len(over)} trials ended well: {'; '.join(reasons)}")
        values = trials.values(best)
        states = [_state(t) for t in over]
        account = {
            "metric": self.config.search.metric,
            "trials": {state: states.count(state) for state in ("complete", "pruned", "failed")},
            "interrupted": trials.interrupted(),
            "best": {"trial": over.index(best) + 1, "score": _rounded(best.value), "values": values},
            "own": None if trials.own is None else {"trial": 1, "score": _rounded(over[0].value), "values": trials.own},
            "importance": importance([t for t in over if _state(t) == "complete"]),
            "settings": self.config.search.model_dump(mode="json"),
            "library": f"optuna {version('optuna')}",
            "table": [_row(number, t, trials) for number, t in enumerate(over, start=1)],
        }
        _log.info("searched: best of %d trials %s", len(over), values)
        return Found(self.config.with_values(values), account)


@dataclass
class _Watch:
    """Hears a trial's epochs: keeps the score of the one whose weights stay, and ends a trial that falls behind."""

    trials: Trials
    trial: Trial
    kind: str
    targets: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    epochs: int = 0
    score: float | None = None
    _best_loss: float = float("inf")

    def judge_by(self, prepared: Prepared) -> None:
        """Judge by the validation part; raises NotEnoughData where there is nothing to tell apart in it."""
        self.targets = prepared.data.targets[list(prepared.parts.validation)]
        if self._by_auroc and np.isnan(self._auroc(self.targets)):
            raise NotEnoughData(
                "no diagnosis that some validation cases have and others have not: search by metric: validation_loss"
            )

    def __call__(self, epoch: int, loss: float, logits: np.ndarray) -> None:
        from optuna.exceptions import TrialPruned

        score = self._auroc(logits) if self._by_auroc else loss
        self.epochs = epoch
        if loss < self._best_loss:
            self._best_loss, self.score = loss, score
        if self.trials.hear(self.trial, epoch, score):
            raise TrialPruned

    @property
    def _by_auroc(self) -> bool:
        return self.trials.chosen.metric == "validation_auroc"

    def _auroc(self, logits: np.ndarray) -> float:
        """Macro AUROC; a sigmoid keeps the order of cases, a softmax may not."""
        return macro(auroc)(self.targets, softmax(logits, axis=1) if self.kind == "exclusive" else logits)


def _state(trial: FrozenTrial) -> str:
    return {"COMPLETE": "complete", "PRUNED": "pruned"}.get(trial.state.name, "failed")


def _row(number: int, trial: FrozenTrial, trials: Trials) -> dict[str, Any]:
    told = {key: trial.user_attrs.get(key) for key in ("seconds", "epochs", "reason")}
    return {
        "number": number,
        "state": _state(trial),
        "values": trials.values(trial),
        "score": _rounded(trial.value),
        **told,
    }


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 6)
