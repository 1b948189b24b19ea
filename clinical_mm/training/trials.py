"""The trials of a search in their SQL storage: what a killed process leaves is found again and gone on from.

What the next trial draws follows from the seed, how many trials are over, and their scores. So a search that was killed
and resumed tries the same values as an uninterrupted one, and the trial that was cut off begins again by itself.
Source: Akiba et al., Optuna, 2019 (arXiv:1907.10902); the sampler: Watanabe, Tree-structured Parzen estimator, 2023
(arXiv:2304.11127).
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from clinical_mm.config import ModelConfig
from clinical_mm.errors import Cancelled
from clinical_mm.search_space import Choices, Span, own_values

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

T = TypeVar("T")
DIRECTION: dict[str, Literal["maximize", "minimize"]] = {"validation_auroc": "maximize", "validation_loss": "minimize"}
TRIALS_URL = "CLINICAL_MM_TRIALS_URL"
"""Environment variable in which a training process of its own is told the storage."""
WAITS_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""How long a storage that does not answer is waited for, before each further call."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Storage:
    """Where trials are kept: the SQLAlchemy URL of a database in which Optuna makes its tables, and under what name."""

    url: str
    study: str

    @classmethod
    def file(cls, path: Path) -> Storage:
        """A SQLite file."""
        return cls(f"sqlite:///{path.resolve()}", "search")


class Trials:
    """One search's trials."""

    def __init__(self, study: Study, config: ModelConfig, cancelled: Callable[[], bool]) -> None:
        self.study, self.chosen, self._cancelled = study, config.search, cancelled
        self._seed = config.training.seed
        self.own = own_values(config.model_dump(mode="json"), config.search.space)

    def over(self) -> list[FrozenTrial]:
        """Those that came to their end, well or not, in order; not those that were cut off."""
        return [t for t in self._in("COMPLETE", "PRUNED", "FAIL") if t.state.name != "FAIL" or "reason" in t.user_attrs]

    def interrupted(self) -> int:
        """How many were cut off."""
        return sum("reason" not in t.user_attrs for t in self._in("FAIL"))

    def begin(self) -> Trial:
        """The next trial, its values drawn; the first one tries the configuration's own, where the space has them."""
        from optuna.samplers import TPESampler
        from optuna.trial import TrialState

        for cut_off in self._in("RUNNING"):
            self._patiently(partial(self.study.tell, cut_off.number, state=TrialState.FAIL, skip_if_finished=True))
        if self.own is not None and not self.over() and not self._in("WAITING"):
            self._patiently(partial(self.study.enqueue_trial, self._as_drawn(self.own)))
        self.study.sampler = TPESampler(
            n_startup_trials=self.chosen.startup_trials,
            seed=(self._seed * 100_003 + len(self.over())) % 2**32,
            multivariate=True,
            constant_liar=False,
        )
        space = {name: _distribution(self.chosen.space[name]) for name in sorted(self.chosen.space)}
        return self._patiently(lambda: self.study.ask(space))

    def values(self, trial: Trial | FrozenTrial) -> dict[str, Any]:
        """What a trial tries: dotted name -> value."""
        drawn = {name: trial.params[name] for name in self.chosen.space}
        return {name: json.loads(value) if name in self._listed else value for name, value in drawn.items()}

    def hear(self, trial: Trial, epoch: int, score: float) -> bool:
        """Keep an epoch's score; gives whether the trial is to be pruned."""
        self._patiently(lambda: trial.report(score, epoch))
        return self.chosen.pruning and self._patiently(trial.should_prune)

    def end(self, trial: Trial, score: float | None, account: Mapping[str, Any]) -> None:
        """Keep how a trial ended; without a score it was pruned, or failed for the ``reason`` in the account."""
        from optuna.trial import TrialState

        for name, value in account.items():
            self._patiently(partial(trial.set_user_attr, name, value))
        state = TrialState.FAIL if "reason" in account else TrialState.PRUNED
        state = state if score is None else TrialState.COMPLETE
        self._patiently(lambda: self.study.tell(trial, score, state, skip_if_finished=True))

    def best(self) -> FrozenTrial | None:
        """The best of those that were trained to the end; of equals the first."""
        sign = 1 if DIRECTION[self.chosen.metric] == "maximize" else -1
        complete = [t for t in self.over() if t.state.name == "COMPLETE" and t.value is not None]
        return max(complete, key=lambda t: sign * (t.value or 0.0), default=None)

    @property
    def _listed(self) -> set[str]:
        return {name for name, part in self.chosen.space.items() if isinstance(part, Choices)}

    def _as_drawn(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: _label(value) if name in self._listed else value for name, value in values.items()}

    def _in(self, *states: str) -> list[FrozenTrial]:
        found = self._patiently(partial(self.study.get_trials, deepcopy=False))
        return [trial for trial in found if trial.state.name in states]

    def _patiently(self, call: Callable[[], T]) -> T:
        """A call of the storage, again while it does not answer: a training outlives a database's restart."""
        from optuna.exceptions import StorageInternalError

        for wait_s in WAITS_S:
            try:
                return call()
            except StorageInternalError as error:
                _log.warning("the storage of the search does not answer: %s", error.__cause__.__class__.__name__)
            until = time.monotonic() + wait_s
            while time.monotonic() < until:
                if self._cancelled():
                    raise Cancelled("training was cancelled")
                time.sleep(0.2)
        try:
            return call()
        except StorageInternalError as error:
            raise ConnectionError(
                "the storage of the search does not answer; start the run again, it goes on at its last trial"
            ) from error


@contextmanager
def kept_trials(storage: Storage, config: ModelConfig, cancelled: Callable[[], bool]) -> Iterator[Trials]:
    """Open a search's trials, those of an earlier process included."""
    import optuna

    chosen, told = config.search, optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # who searches is told by progress and card
    patience = {"timeout": 30} if storage.url.startswith("sqlite") else {"connect_timeout": 5}
    kept = optuna.storages.RDBStorage(storage.url, {"pool_pre_ping": True, "connect_args": patience})
    try:
        study = optuna.create_study(
            storage=kept,
            study_name=storage.study,
            direction=DIRECTION[chosen.metric],
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(chosen.startup_trials, chosen.warmup_epochs + 1),
        )
        yield Trials(study, config, cancelled)
    finally:
        kept.remove_session()
        kept.engine.dispose()
        optuna.logging.set_verbosity(told)


def _distribution(part: Span | Choices) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(part, Choices):
        return CategoricalDistribution([_label(choice) for choice in part.choices])
    if part.is_whole:
        return IntDistribution(int(part.low), int(part.high), log=part.log, step=int(part.step or 1))
    return FloatDistribution(part.low, part.high, log=part.log, step=part.step)


def _label(choice: Any) -> str:
    """A choice as a storage keeps it: it may be a list or a mapping."""
    return json.dumps(choice, sort_keys=True)
