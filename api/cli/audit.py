"""``clinical-mm audit``: verify, export, anchor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from api.cli.context import operator, project_option, services
from api.cli.output import json_option, print_json
from api.settings import settings_from_environment

if TYPE_CHECKING:
    from api.audit.verify import Verdict

MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"])


@click.group()
def audit() -> None:
    """The audit trail.

    \b
    Example:
      clinical-mm audit verify
      clinical-mm audit export march.jsonl --since 2026-03-01 --until 2026-04-01
      clinical-mm audit verify --file march.jsonl
    """


@audit.command()
@click.option("--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="An exported file instead.")
@json_option
def verify(file: Path | None, as_json: bool) -> None:
    """Walk the whole chain: exit 1 where an entry was edited, removed, swapped, put in or cut off.

    \b
    Example:
      clinical-mm audit verify --json
    """
    verdict = _of_file(file) if file is not None else _of_database()
    if as_json:
        print_json({"intact": not verdict.fault_count, **asdict(verdict)})
    else:
        _print(verdict)
    if verdict.fault_count:
        raise click.ClickException(f"the audit trail is not as it was written: {verdict.fault_count} faults")


@audit.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--since", type=MOMENT, help="The first moment, UTC.")
@click.option("--until", type=MOMENT, help="The first moment that is left out, UTC.")
def export(file: Path, since: datetime | None, until: datetime | None) -> None:
    """Write entries of every project as lines of JSON, with a last line that signs them.

    \b
    Example:
      clinical-mm audit export march.jsonl --since 2026-03-01 --until 2026-04-01
    """
    from tqdm import tqdm

    from api.audit.export import export as write
    from api.audit.stored import entries
    from api.ground.secret import trail_key

    if file.exists():
        raise click.UsageError(f"{file} is there already; name a new file")
    with services() as built:
        operator(built, "default")
        since, until = _utc(since), _utc(until)
        found = entries(built.ground.database, since, until)
        bar = tqdm(found, desc="export", unit="entry", disable=None)
        count = write(bar, file, trail_key(built.ground.settings.workspace))
    click.echo(f"exported {count} entries to {file}")


@audit.command()
@project_option
def anchor(project: str) -> None:
    """Anchor the end of the chain now; `serve` and `worker` do so every minute.

    \b
    Example:
      clinical-mm audit anchor
    """
    with services() as built:
        operator(built, project)
        sequence = built.anchors.write()
    click.echo(f"entry {sequence} is anchored in {built.anchors.path}")


def _of_database() -> Verdict:
    from api.audit.seen import write_verified
    from api.audit.stored import count, verify_stored
    from api.ground.secret import trail_key

    with services() as built:
        settings, database = built.ground.settings, built.ground.database
        with _bar(count(database), "entry") as progress:
            verdict = verify_stored(database, settings.anchors_file, trail_key(settings.workspace), progress)
        write_verified(settings.trail_folder, verdict)
    return verdict


def _of_file(file: Path) -> Verdict:
    from api.audit.export import verify_file
    from api.ground.secret import known_trail_key

    key = known_trail_key(settings_from_environment().workspace)
    if key is None:
        click.echo("this workspace has no secret: the chain is checked, its signature is not", err=True)
    with _bar(file.stat().st_size, "B") as progress:
        return verify_file(file, key, progress)


@contextmanager
def _bar(total: int, unit: str) -> Iterator[Callable[[int], object]]:
    from tqdm import tqdm

    with tqdm(total=total, desc="verify", unit=unit, unit_scale=unit == "B", disable=None) as bar:
        yield bar.update


def _print(verdict: Verdict) -> None:
    for fault in verdict.faults:
        where = "the trail" if fault.entry is None else f"entry {fault.entry}"
        click.echo(f"{where}: {fault.kind}: {fault.detail}")
    if verdict.fault_count > len(verdict.faults):
        click.echo(f"... and {verdict.fault_count - len(verdict.faults)} more")
    anchored = f"anchored up to entry {verdict.anchored} at {verdict.anchored_at}" if verdict.anchors else "no anchor"
    click.echo(f"{verdict.entries} entries up to {verdict.last}, {anchored}")


def _utc(moment: datetime | None) -> datetime | None:
    from datetime import UTC

    return None if moment is None else moment.replace(tzinfo=UTC)
