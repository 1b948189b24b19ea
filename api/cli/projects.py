"""``clinical-mm projects``: list, set."""

from __future__ import annotations

import click

from api.cli.context import operator, services
from api.cli.output import json_option, print_rows


@click.group()
def projects() -> None:
    """Projects (tenants) and how their cases are read.

    \b
    Example:
      clinical-mm projects list
      clinical-mm projects set default --read-first
    """


@projects.command("list")
@json_option
def list_(as_json: bool) -> None:
    """Every project."""
    with services() as built:
        rows = [p.model_dump(mode="json") for p in built.projects.list()]
    columns = ["name", "read_first", "created_at"]
    print_rows(rows, columns, as_json=as_json, empty="no projects yet: the first key or case makes one")


@projects.command("set")
@click.argument("name", metavar="NAME")
@click.option("--read-first/--no-read-first", required=True, default=None, help="A reader's own verdict comes first.")
def set_(name: str, read_first: bool) -> None:
    """Change how the cases of a project are read.

    \b
    Example:
      clinical-mm projects set default --no-read-first
    """
    from api.access.service import DEFAULT_PROJECT

    with services() as built:
        known = {p.name for p in built.projects.list()} | {DEFAULT_PROJECT}
        if name not in known:
            raise click.ClickException(f"no project {name!r}; there is {', '.join(sorted(known))}")
        built.projects.change(operator(built, name), read_first=read_first)
    told = "a reader's own verdict comes first" if read_first else "the model's answer shows at once"
    click.echo(f"{name}: {told}")
