"""``clinical-mm projects``: list, set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from api.cli.context import operator, services
from api.cli.output import json_option, print_rows

if TYPE_CHECKING:
    from api.access.schemas import Deidentify

_IDENTITY = {
    "keep": "cases are stored as they are sent",
    "pseudonymise": "cases are stored without who they are about",
    "refuse": "cases that tell who they are about are refused",
}


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
    """Every project.

    \b
    Example:
      clinical-mm projects list
    """
    with services() as built:
        rows = [p.model_dump(mode="json") for p in built.projects.list()]
    columns = ["name", "read_first", "deidentify", "created_at"]
    print_rows(rows, columns, as_json=as_json, empty="no projects yet: the first key or case makes one")


@projects.command("set")
@click.argument("name", metavar="NAME")
@click.option("--read-first/--no-read-first", default=None, help="A reader's own verdict comes first.")
@click.option(
    "--deidentify",
    type=click.Choice(["keep", "pseudonymise", "refuse"]),
    help="What is done with identity on the way in.",
)
def set_(name: str, read_first: bool | None, deidentify: Deidentify | None) -> None:
    """Change how the cases of a project are read, or what is done with who they are about.

    \b
    Example:
      clinical-mm projects set default --no-read-first
      clinical-mm projects set default --deidentify pseudonymise
    """
    from api.access.schemas import ProjectChange
    from api.access.service import DEFAULT_PROJECT

    if read_first is None and deidentify is None:
        raise click.UsageError("name what is to change: --read-first, --no-read-first or --deidentify")
    with services() as built:
        known = {p.name for p in built.projects.list()} | {DEFAULT_PROJECT}
        if name not in known:
            raise click.ClickException(f"no project {name!r}; there is {', '.join(sorted(known))}")
        change = ProjectChange(read_first=read_first, deidentify=deidentify)
        built.projects.change(operator(built, name), change)
    if read_first is not None:
        told = "a reader's own verdict comes first" if read_first else "the model's answer shows at once"
        click.echo(f"{name}: {told}")
    if deidentify is not None:
        click.echo(f"{name}: {_IDENTITY[deidentify]} from now on; what is stored stays as it is")
