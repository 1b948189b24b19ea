"""``clinical-mm train``: the job's code, in the foreground."""

from __future__ import annotations

from typing import Any

import click
import yaml

from api.cli.context import operator, project_option, services


@click.command()
@click.option("--config", default="default", show_default=True, help="A name under configs/models, or a YAML file.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one value; may be repeated.")
@project_option
def train(config: str, overrides: tuple[str, ...], project: str) -> None:
    """Retrain from the stored, labelled cases; progress bars, then the new model's id and metrics.

    \b
    Example:
      clinical-mm train --config small --set training.epochs=5 --set training.seed=1
    """
    with services() as built:
        model = built.training.foreground(operator(built, project), config, parse_overrides(overrides))
    click.echo(model.headline, err=True)
    click.echo(
        f"model {model.id} " + ("serves now" if model.serving else "is held: `clinical-mm models promote` it"), err=True
    )
    click.echo(model.id)


def parse_overrides(pairs: tuple[str, ...]) -> dict[str, Any]:
    """``a.b=1`` -> ``{"a.b": 1}``; values are read as YAML."""
    parsed: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise click.UsageError(f"--set wants KEY=VALUE, got {pair!r}")
        parsed[key.strip()] = yaml.safe_load(value)
    return parsed
