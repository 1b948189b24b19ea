"""``clinical-mm models``: the registry."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from api.cli.context import operator, project_option, services
from api.cli.output import json_option, print_json, print_rows

if TYPE_CHECKING:
    from api.shadows.schemas import ShadowOut


@click.group()
def models() -> None:
    """Trained models and which one serves.

    \b
    Example:
      clinical-mm models list
      clinical-mm models promote model_0dj3...
      clinical-mm models shadow model_0dj3...
      clinical-mm models rollback
      clinical-mm models export model_0dj3... ./bundle
    """


@models.command("list")
@project_option
@json_option
def list_(project: str, as_json: bool) -> None:
    """Models, newest first.

    \b
    Example:
      clinical-mm models list
      clinical-mm models list --json | jq -r ".[0].id"
    """
    with services() as built:
        rows = [m.model_dump(mode="json") for m in built.models.list(operator(built, project))]
    columns = ["id", "config", "serving", "created_at", "headline"]
    print_rows(rows, columns, as_json=as_json, empty="no models yet: clinical-mm train")


@models.command()
@click.argument("model_id", metavar="ID")
@project_option
def show(model_id: str, project: str) -> None:
    """One model with its card and metrics, as JSON.

    \b
    Example:
      clinical-mm models show model_0dj3...
    """
    with services() as built:
        print_json(built.models.get(operator(built, project), model_id).model_dump(mode="json"))


@models.command()
@click.argument("model_id", metavar="ID")
@click.option("--reason", help="why; needed where its comparison rejected the model")
@project_option
def promote(model_id: str, reason: str | None, project: str) -> None:
    """Let a model serve, from the next request on.

    \b
    Example:
      clinical-mm models promote model_0dj3...
      clinical-mm models promote model_0dj3... --reason "better on the ward's own cases"
    """
    with services() as built:
        built.promotions.promote(operator(built, project), model_id, reason)
    click.echo(f"serving {model_id}")


@models.command()
@click.argument("model_id", metavar="ID")
@project_option
@json_option
def compare(model_id: str, project: str, as_json: bool) -> None:
    """Compare a model with the one that serves, on stored cases that neither has learned from.

    \b
    Example:
      clinical-mm models compare model_0dj3...
    """
    with services() as built:
        decision = built.promotions.compare(operator(built, project), model_id)
    if as_json:
        print_json(decision.model_dump(mode="json"))
        return
    click.echo(f"{decision.outcome}: {model_id} beside {decision.champion}")
    for reason in decision.reasons:
        click.echo(f"  {reason}")


@models.command()
@click.argument("model_id", metavar="ID")
@click.option("--off", is_flag=True, help="End it; what it said stays in its report.")
@project_option
@json_option
def shadow(model_id: str, off: bool, project: str, as_json: bool) -> None:
    """Let a model answer live cases in silence beside the serving one; again shows how it does.

    \b
    Example:
      clinical-mm models shadow model_0dj3...
      clinical-mm models shadow model_0dj3... --off
    """
    with services() as built:
        caller = operator(built, project)
        if off:
            built.shadows.end(caller, model_id)
        report = built.shadows.report(caller, model_id) if off else built.shadows.begin(caller, model_id)
    if as_json:
        print_json(report.model_dump(mode="json"))
        return
    for line in _told(report):
        click.echo(line)


@models.command()
@click.argument("model_id", metavar="ID")
@click.option("--html", "page", type=click.Path(path_type=Path), help="Write one printable page here instead.")
@project_option
def card(model_id: str, page: Path | None, project: str) -> None:
    """The model card: what it is for, what it saw, how good it is for whom; JSON, or a page.

    \b
    Example:
      clinical-mm models card model_0dj3... --html card.html
    """
    from clinical_mm.model_card import card_html

    with services() as built:
        made = built.models.model_card(operator(built, project), model_id)
        names = {d.code: d.display for d in built.ground.catalogue.diagnoses}
    if page is None:
        print_json(made.model_dump(mode="json"))
        return
    page.write_text(card_html(made, names), encoding="utf-8")
    click.echo(f"wrote {page}", err=True)


@models.command()
@project_option
def rollback(project: str) -> None:
    """Let the model serve that served before.

    \b
    Example:
      clinical-mm models rollback --project ward-3
    """
    with services() as built:
        model = built.models.rollback(operator(built, project))
    click.echo(f"serving {model.id}")


@models.command()
@click.argument("model_id", metavar="ID")
@click.argument("folder", type=click.Path(path_type=Path))
@project_option
def export(model_id: str, folder: Path, project: str) -> None:
    """Copy a model's bundle into a new folder; ``clinical_mm.load_model`` reads it there.

    \b
    Example:
      clinical-mm models export model_0dj3... ./bundle
      python -c "from clinical_mm import load_model; print(load_model('bundle').diagnoses)"
    """
    if folder.exists():
        raise click.UsageError(f"{folder} exists already; name a new folder")
    with services() as built:
        built.models.get(operator(built, project), model_id)
        shutil.copytree(built.models.bundle_folder(model_id), folder)
    click.echo(f"exported {model_id} to {folder}")


def _told(report: ShadowOut) -> Iterator[str]:
    """A shadow's report in a few lines."""
    state, same = "in shadow" if report.in_force else "no shadow any more", report.agreement
    yield f"{state}: {report.model} beside {report.champion}, since {report.since:%Y-%m-%d %H:%M} UTC"
    yield f"  {report.scored} scored, {report.waiting} waiting, {report.failed} failed, {report.missed} missed"
    if report.fault:
        yield f"  it cannot score at present: {report.fault}"
    if same.value is not None:
        interval = f"[{same.low:.0%} to {same.high:.0%}]"
        yield f"  the same diagnosis most probable in {same.value:.0%} {interval} of {report.cases} cases"
    for name, gain in (report.judged.gains if report.judged else {}).items():
        apart = gain.difference
        if apart.value is not None and apart.low is not None:
            yield f"  {name}: {apart.value:+.3f} [{apart.low:+.3f} to {apart.high:+.3f}], shadow minus serving"
