"""``clinical-mm backup`` and ``clinical-mm restore``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from api.cli.context import services
from api.cli.output import json_option, print_rows
from api.settings import settings_from_environment

if TYPE_CHECKING:
    from api.backups.making import Tell

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class _Making(click.Group):
    """A group whose own name makes a backup: ``backup FILE`` is ``backup make FILE``."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is meant."""
        meant = args if args[0] in self.commands else ["make", *args]
        return super().resolve_command(ctx, meant)


@click.group(cls=_Making)
def backup() -> None:
    """Everything that is stored, in one file, while the service goes on.

    \b
    Example:
      clinical-mm backup /backups
      clinical-mm backup verify /backups/clinical-mm-20260301T020000Z.tar
      clinical-mm backup list
      clinical-mm backup discarded backup_0dj3...
    """


@backup.command()
@click.argument("destination", type=click.Path(path_type=Path))
def make(destination: Path) -> None:
    """Rows, blobs, models and logs of all projects; a folder gets a file named by the moment.

    Keys come as hashes; the secret that signs sessions does not come along, nor do settings.

    \b
    Example:
      clinical-mm backup make /backups
    """
    from api.backups.making import make as make_backup

    with services() as built, _bars() as tell:
        made = make_backup(built.ground, destination, tell)
    click.echo(f"{made.path}: {made.cases} cases, {made.blobs} blobs, manifest SHA-256 {made.manifest_sha256}")
    if made.missing:
        cases = sorted({case for found in made.missing.values() for case in found})
        shown = ", ".join(cases[:5])
        raise click.ClickException(
            f"the backup is whole but for {len(made.missing)} blobs that the store has lost; of the cases {shown}"
        )


@backup.command()
@click.argument("file", type=FILE)
def verify(file: Path) -> None:
    """Read all of a backup and compare every hash, count and reference.

    \b
    Example:
      clinical-mm backup verify /backups/clinical-mm-20260301T020000Z.tar
    """
    from api.backups.restoring import verify as verify_backup

    with _bars() as tell:
        manifest = verify_backup(file, tell)
    click.echo(f"whole: {manifest.rows['cases']} cases of {manifest.made_at:%Y-%m-%d %H:%M} UTC")


@backup.command("list")
@json_option
def list_(as_json: bool) -> None:
    """Backups that were made and, as far as is known, still exist.

    \b
    Example:
      clinical-mm backup list --json
    """
    from api.backups.known import known

    with services() as built:
        rows = [one.model_dump(mode="json") for one in known(built.ground.database)]
    print_rows(rows, ["id", "name", "started_at", "finished_at"], as_json=as_json, empty="no backup was made")


@backup.command()
@click.argument("backup_id", metavar="ID")
def discarded(backup_id: str) -> None:
    """Say that no copy of a backup is left: certificates of erasing stop naming it.

    \b
    Example:
      clinical-mm backup discarded backup_0dj3...
    """
    from api.backups.known import discard

    with services() as built:
        discard(built.ground.database, backup_id)
    click.echo(f"{backup_id} is discarded")


@click.command()
@click.argument("file", type=FILE)
@click.option("--into", "workspace", type=click.Path(path_type=Path), help="A workspace other than the settings'.")
def restore(file: Path, workspace: Path | None) -> None:
    """Put a backup back into an empty place: whole, or not at all.

    It goes where the settings say, from either database into either. What was erased since it was made comes back
    with it: erase it again.

    \b
    Example:
      clinical-mm restore /backups/clinical-mm-20260301T020000Z.tar
      clinical-mm restore clinical-mm-20260301T020000Z.tar --into ./workspace-of-march
    """
    import api.services  # noqa: F401 - all tables are known then
    from api.backups.restoring import restore as restore_backup

    settings = settings_from_environment()
    if workspace is not None:
        settings = settings.model_copy(update={"workspace": workspace})
    with _bars() as tell:
        manifest = restore_backup(settings, file, tell)
    click.echo(f"restored {manifest.rows['cases']} cases of {manifest.made_at:%Y-%m-%d %H:%M} UTC, every hash compared")


@contextmanager
def _bars() -> Iterator[Tell]:
    """One bar a stage."""
    from tqdm import tqdm

    bars: dict[str, tqdm[Any]] = {}

    def tell(stage: str, done: int, wanted: int) -> None:
        if stage not in bars:
            bars[stage] = tqdm(total=wanted, desc=stage, unit_scale=True, disable=None)
        bars[stage].update(done - bars[stage].n)

    try:
        yield tell
    finally:
        for bar in bars.values():
            bar.close()
