"""``clinical-mm train``: the job's code, in the foreground."""

from __future__ import annotations

from typing import Any, get_args

import click
import yaml
from click.core import ParameterSource

from api.cli.context import operator, project_option, services
from api.promotion.schemas import DecisionOut
from api.reviews.adjudication import Rule

COMMANDLINE = ParameterSource.COMMANDLINE
SETTLED_BY_A_MODEL = ("config", "overrides", "start_from", "labels")
RULES = get_args(Rule)


@click.command()
@click.option("--config", default="default", show_default=True, help="A name under configs/models, or a YAML file.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one value; may be repeated.")
@click.option("--start-from", metavar="MODEL_ID", help="Start from that model's weights, as far as they fit.")
@click.option(
    "--labels",
    type=click.Choice(RULES),
    default="newest",
    show_default=True,
    help="Which label teaches where reviewers disagree.",
)
@click.option("--from", "repeated", metavar="MODEL_ID", help="Repeat that model's training: settings, cases, split.")
@project_option
def train(
    config: str,
    overrides: tuple[str, ...],
    start_from: str | None,
    labels: Rule,
    repeated: str | None,
    project: str,
) -> None:
    """Retrain from the stored, labelled cases; progress bars, then the new model's id and metrics.

    \b
    Example:
      clinical-mm train --config small --set training.epochs=5 --set training.seed=1
      clinical-mm train --config small --start-from model_0dj3...
      clinical-mm train --from model_0dj3...
    """
    context = click.get_current_context()
    if repeated is not None and any(context.get_parameter_source(n) is COMMANDLINE for n in SETTLED_BY_A_MODEL):
        raise click.UsageError("--from repeats a training as it was: no --config, --set, --start-from or --labels")
    with services() as built:
        caller = operator(built, project)
        if repeated is not None:
            from api.training.repeat import repeat

            outcome = repeat(built.training, caller, repeated)
            model, told = outcome.model, list(outcome.told)
        else:
            model = built.training.foreground(caller, config, parse_overrides(overrides), start_from, labels)
            told = [*_started(model.card), *searched(model.card)]
        told += _compared(built.promotions.of_model(caller, model.id))
    for line in (*told, model.headline):
        click.echo(line, err=True)
    click.echo(
        f"model {model.id} " + ("serves now" if model.serving else "is held: `clinical-mm models promote` it"), err=True
    )
    click.echo(model.id)


def _compared(decision: DecisionOut | None) -> list[str]:
    """What the policy said of it beside the model that serves."""
    return [] if decision is None else [f"{decision.outcome}: {reason}" for reason in decision.reasons]


def _started(card: dict[str, Any]) -> list[str]:
    """What became of the model that it started from."""
    started = card.get("started_from")
    if started is None:
        return []
    words = {"reused": "re-used", "new": "new", "dropped": "dropped"}
    return [f"{word}: {', '.join(started[key]) or 'nothing'}" for key, word in words.items()]


def searched(card: dict[str, Any]) -> list[str]:
    """What a search before the training found, and what mattered."""
    account = card.get("search")
    if account is None:
        return []
    counts = ", ".join(f"{count} {state}" for state, count in account["trials"].items() if count)
    best, own, shares = account["best"], account["own"], account["importance"]
    metric = account["metric"].replace("_", " ")
    before = "" if own is None or own["score"] is None else f"; the configuration's own {own['score']:.4g}"
    values = {n: f"{v:.4g}" if isinstance(v, float) else v for n, v in best["values"].items()}
    mattered = ", ".join(f"{name} {100 * share:.0f} %" for name, share in (shares or {}).items())
    return [
        f"searched: {counts}; best {metric} {best['score']:.4g} in trial {best['trial']}{before}",
        *(f"  {name} = {value}" for name, value in values.items()),
        f"what mattered: {mattered or 'too few complete trials to say, or all alike'}",
    ]


def parse_overrides(pairs: tuple[str, ...]) -> dict[str, Any]:
    """``a.b=1`` -> ``{"a.b": 1}``; values are read as YAML."""
    parsed: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise click.UsageError(f"--set wants KEY=VALUE, got {pair!r}")
        parsed[key.strip()] = yaml.safe_load(value)
    return parsed
