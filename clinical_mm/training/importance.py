"""What mattered in a search: how much of the spread of scores each searched value explains.

Source: Hutter et al., An efficient approach for assessing hyperparameter importance (fANOVA), 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

FEWEST_TO_JUDGE = 10
"""Complete trials below which nothing is said."""


def importance(complete: Sequence[FrozenTrial]) -> dict[str, float] | None:
    """The share of the scores' variance that each value explains by itself; shares sum to 1, the largest first.

    None of fewer than 10 complete trials, or where all are equally good. A rough guide: a random forest learned it from
    these trials, and the shares of mere noise sum to 1 as well.
    """
    import optuna

    if len(complete) < FEWEST_TO_JUDGE or len({trial.value for trial in complete}) == 1:
        return None
    study = optuna.create_study()
    study.add_trials([_on_the_scale_it_was_drawn(trial) for trial in complete])
    judge = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found = optuna.importance.get_param_importances(study, evaluator=judge)
    return {name: round(share, 4) for name, share in found.items()}


def _on_the_scale_it_was_drawn(trial: FrozenTrial) -> FrozenTrial:
    """The evaluator averages evenly over a range: of 0.0001 to 0.1 nine tenths lie above 0.01, unless told in logs."""
    from optuna.distributions import FloatDistribution
    from optuna.trial import create_trial

    params, distributions = dict(trial.params), dict(trial.distributions)
    for name, drawn in trial.distributions.items():
        known: Any = drawn
        if getattr(known, "log", False):
            params[name] = log(trial.params[name])
            distributions[name] = FloatDistribution(log(known.low), log(known.high))
    return create_trial(value=trial.value, params=params, distributions=distributions)
