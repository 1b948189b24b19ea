"""``clinical-mm keys``: create, list, revoke."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

from api.cli.context import operator, project_option, services
from api.cli.output import json_option, print_rows


@click.group()
def keys() -> None:
    """API keys.

    \b
    Example:
      clinical-mm keys create --role clinician --name ward-3
      clinical-mm keys list
      clinical-mm keys revoke key_0dj3...
    """


@keys.command()
@click.option("--role", required=True, type=click.Choice(["viewer", "clinician", "trainer", "admin"]))
@click.option("--name", default="", help="Who or what holds it; shown in the audit trail.")
@click.option("--expires", metavar="WHEN", help="When it ends by itself: 90d, 12h, or a day such as 2027-01-31.")
@click.option("--expires-days", type=click.IntRange(min=1), hidden=True)
@project_option
def create(role: str, name: str, expires: str | None, expires_days: int | None, project: str) -> None:
    """Make a key. Its secret is printed once, alone on the last line.

    \b
    Example:
      KEY=$(clinical-mm keys create --role trainer --name nightly --expires 90d | tail -1)
    """
    from api.access.service import Role

    expires_at = _moment(expires or (f"{expires_days}d" if expires_days else None))
    with services() as built:
        key, secret = built.access.create_key(operator(built, project), Role(role), name or role, expires_at=expires_at)
        click.echo(f"key {key.id} ({role}, project {project}); the secret below is shown only now:", err=True)
        click.echo(secret)


@keys.command("list")
@project_option
@json_option
def list_(project: str, as_json: bool) -> None:
    """Keys of the project; secrets are not kept, so none is shown.

    \b
    Example:
      clinical-mm keys list
      clinical-mm keys list --project ward-3 --json
    """
    with services() as built:
        rows = [k.model_dump(mode="json") for k in built.access.list_keys(operator(built, project))]
    columns = ["id", "name", "role", "created_at", "last_used_at", "expires_at", "revoked_at"]
    print_rows(rows, columns, as_json=as_json, empty="no keys yet: clinical-mm keys create --role clinician")


@keys.command()
@click.argument("key_id", metavar="ID")
@project_option
def revoke(key_id: str, project: str) -> None:
    """End a key now.

    \b
    Example:
      clinical-mm keys revoke key_0dj3...
    """
    with services() as built:
        built.access.revoke(operator(built, project), key_id)
    click.echo(f"revoked {key_id}")


def _moment(text: str | None) -> datetime | None:
    """``90d``, ``12h`` from now, or a day (its beginning, UTC); raises BadParameter where it is none or is past."""
    from api.ground.clock import now

    if text is None:
        return None
    span = re.fullmatch(r"(\d{1,5})([dh])", text.strip())
    try:
        moment = (
            now() + timedelta(**{{"d": "days", "h": "hours"}[span[2]]: int(span[1])})
            if span
            else datetime.fromisoformat(text.strip()).replace(tzinfo=UTC)
        )
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not like 90d, 12h or 2027-01-31", param_hint="--expires") from error
    if moment <= now():
        raise click.BadParameter(f"{text!r} is over already", param_hint="--expires")
    return moment
