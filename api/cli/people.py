"""``clinical-mm people``: list, block, unblock."""

from __future__ import annotations

import click

from api.cli.context import operator, project_option, services
from api.cli.output import json_option, print_rows


@click.group()
def people() -> None:
    """People who signed in by the OpenID Connect provider.

    \b
    Example:
      clinical-mm people list
      clinical-mm people block person_0dj3...
    """


@people.command("list")
@json_option
def list_(as_json: bool) -> None:
    """Everyone who ever came.

    \b
    Example:
      clinical-mm people list
    """
    with services() as built:
        rows = [p.model_dump(mode="json") for p in built.people.list()]
    columns = ["id", "name", "subject", "last_used_at", "blocked_at"]
    print_rows(rows, columns, as_json=as_json, empty="nobody yet: see docs/access.md")


@people.command()
@click.argument("person_id", metavar="ID")
@project_option
def block(person_id: str, project: str) -> None:
    """Shut someone out now, whatever the provider says; the project is where the trail tells of it.

    \b
    Example:
      clinical-mm people block person_0dj3...
    """
    with services() as built:
        built.people.block(operator(built, project), person_id, blocked=True)
    click.echo(f"blocked {person_id}")


@people.command()
@click.argument("person_id", metavar="ID")
@project_option
def unblock(person_id: str, project: str) -> None:
    """Let someone in again.

    \b
    Example:
      clinical-mm people unblock person_0dj3...
    """
    with services() as built:
        built.people.block(operator(built, project), person_id, blocked=False)
    click.echo(f"unblocked {person_id}")
