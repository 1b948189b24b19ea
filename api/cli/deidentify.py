"""``clinical-mm deidentify``: a folder without identity, without a server."""

from __future__ import annotations

from pathlib import Path

import click

from api.cli.context import project_option
from api.cli.output import json_option, print_rows


@click.command()
@click.argument("source", metavar="IN", type=click.Path(exists=True, path_type=Path))
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--policy", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A YAML policy.")
@project_option
@json_option
def deidentify(source: Path, target: Path, policy: Path | None, project: str, as_json: bool) -> None:
    """Write the files of IN without who they are of into OUT: DICOM PS3.15, PNG and JPEG without metadata.

    A folder with cases.jsonl (``cases export``) is treated case by case, notes and all, and stays one. Pseudonyms and
    moved dates are those of the project, so that what comes later fits. IN stays as it is.

    \b
    Example:
      clinical-mm deidentify ./study ./study-without-identity
      clinical-mm deidentify ./export ./shared --policy my_policy.yaml
    """
    from tqdm import tqdm

    from api.ground.secret import pseudonym_secret
    from api.settings import settings_from_environment
    from clinical_mm.catalogue import Catalogue
    from clinical_mm.deidentify.deidentifier import Deidentifier
    from clinical_mm.deidentify.folder import REPORT, deidentify_cases, deidentify_files, holds_cases
    from clinical_mm.deidentify.names import find_names
    from clinical_mm.deidentify.policy import Policy

    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise click.UsageError(f"{target} is not empty; name a new folder")
    if source.is_dir() and target.resolve().is_relative_to(source.resolve()):
        raise click.UsageError("OUT must not lie inside IN")
    settings = settings_from_environment()
    chosen = Policy.load(policy or settings.deidentify_policy)
    secret = pseudonym_secret(settings.workspace.resolve(), settings.deidentify_secret.get_secret_value(), project)
    by = Deidentifier(chosen, secret, find_names(chosen.names) if chosen.names else None)
    if holds_cases(source):
        treated = deidentify_cases(source, target, by, Catalogue.load(settings.catalogue))
    else:
        treated = deidentify_files(source, target, by)
    outcomes = [
        {
            "outcome": "left out" if one.target is None else "text in pixels" if one.shows_text else "written",
            "file": one.source,
            "written": one.target,
            "reason": one.reason,
        }
        for one in tqdm(treated, desc="de-identify", unit="file", disable=None)
    ]
    shown = outcomes if as_json else [o for o in outcomes if o["outcome"] != "written"]
    print_rows(shown, ["outcome", "file", "written", "reason"], as_json=as_json, empty="none left out")
    written = sum(o["written"] is not None for o in outcomes)
    click.echo(
        f"{written} written, {len(outcomes) - written} left out; {target / REPORT} says what was removed", err=as_json
    )
    if not written:
        raise click.ClickException(f"nothing under {source} could be de-identified")
