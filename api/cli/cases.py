"""``clinical-mm cases``: import, list, golden, measure, verify, export, delete, erase."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from api.cli.context import operator, project_option, services
from api.cli.output import json_option, print_json, print_rows


@click.group()
def cases() -> None:
    """Stored cases.

    \b
    Example:
      clinical-mm cases import ./covid-chestxray-dataset --format covid-chestxray
      clinical-mm cases list --labelled
      clinical-mm cases export ./backup
    """


@cases.command("import")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--format", "format_", required=True, help="folder, covid-chestxray or fhir.")
@project_option
@json_option
def import_(path: Path, format_: str, project: str, as_json: bool) -> None:
    """Read cases of a public or own layout; what is there already is left as it is.

    \b
    Example:
      clinical-mm cases import ./export --format folder
    """
    from tqdm import tqdm

    from api.problems import Conflict, ServiceError
    from clinical_mm.errors import ClinicalMMError
    from clinical_mm.importing import Refused, import_cases

    outcomes: list[dict[str, str]] = []
    with services() as built:
        caller = operator(built, project)
        for item in tqdm(import_cases(path, format_, built.ground.catalogue), desc="import", unit="case", disable=None):
            if isinstance(item, Refused):
                outcomes.append({"outcome": "refused", "case": item.where, "reason": item.reason})
                continue
            where = item.external_id or item.patient.id
            try:
                stored = built.cases.submit_case(caller, item)
                if item.golden:
                    built.golden.add(caller, stored.id)
                outcomes.append({"outcome": "accepted", "case": where, "reason": ""})
            except Conflict:
                outcomes.append({"outcome": "present", "case": where, "reason": "stored before"})
            except (ServiceError, ClinicalMMError) as error:
                outcomes.append({"outcome": "refused", "case": where, "reason": str(error)})
    shown = outcomes if as_json else [o for o in outcomes if o["outcome"] == "refused"]
    print_rows(shown, ["outcome", "case", "reason"], as_json=as_json, empty="none refused")
    counts = {k: sum(o["outcome"] == k for o in outcomes) for k in ("accepted", "present", "refused")}
    click.echo(", ".join(f"{n} {k}" for k, n in counts.items()), err=as_json)
    if not counts["accepted"] and not counts["present"]:
        raise click.ClickException(f"nothing under {path} could be imported")


@cases.command("list")
@click.option("--labelled/--unlabelled", default=None, help="Only those with, or without, a label.")
@click.option("-q", "query", default=None, help="Words in external id, patient id or note.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 200))
@project_option
@json_option
def list_(labelled: bool | None, query: str | None, limit: int, project: str, as_json: bool) -> None:
    """Cases, newest first.

    \b
    Example:
      clinical-mm cases list --unlabelled --limit 20
      clinical-mm cases list --json | jq -r '.[].id'
    """
    from api.cases.schemas import CaseFilter

    with services() as built:
        page = built.cases.list(operator(built, project), CaseFilter(labelled=labelled, q=query, limit=limit))
        rows = [c.model_dump(mode="json") for c in page.items]
    columns = ["id", "external_id", "diagnoses", "created_at"]
    print_rows(rows, columns, as_json=as_json, empty="no cases: clinical-mm cases import, or POST /v1/cases")


@cases.group()
def golden() -> None:
    """The golden set: cases with a locked label, which judge every model and teach none.

    \b
    Example:
      clinical-mm cases golden add case_0dj3...
      clinical-mm cases golden list
    """


@golden.command()
@click.argument("case_ids", metavar="ID...", nargs=-1, required=True)
@project_option
def add(case_ids: tuple[str, ...], project: str) -> None:
    """Lock the labels of cases as they are now.

    \b
    Example:
      clinical-mm cases golden add case_0dj3... case_0dj4...
    """
    with services() as built:
        caller = operator(built, project)
        for case_id in case_ids:
            built.golden.add(caller, case_id)
            click.echo(f"golden: {case_id}")


@golden.command()
@click.argument("case_ids", metavar="ID...", nargs=-1, required=True)
@project_option
def remove(case_ids: tuple[str, ...], project: str) -> None:
    """Let the labels of cases follow from their reviews again.

    \b
    Example:
      clinical-mm cases golden remove case_0dj3...
    """
    with services() as built:
        caller = operator(built, project)
        for case_id in case_ids:
            built.golden.remove(caller, case_id)
            click.echo(f"not golden: {case_id}")


@golden.command("list")
@project_option
@json_option
def list_golden(project: str, as_json: bool) -> None:
    """Every golden case, with who locked its label and when.

    \b
    Example:
      clinical-mm cases golden list --json
    """
    with services() as built:
        rows = [case.model_dump(mode="json") for case in built.golden.list(operator(built, project))]
    columns = ["id", "external_id", "diagnoses", "golden_by", "golden_at"]
    print_rows(rows, columns, as_json=as_json, empty="no golden cases: clinical-mm cases golden add ID")


@cases.command()
@click.argument("folder", type=click.Path(path_type=Path))
@project_option
def export(folder: Path, project: str) -> None:
    """Write every case as cases.jsonl + files, which ``import --format folder`` reads.

    \b
    Example:
      clinical-mm cases export ./cases --project ward-3
    """
    from tqdm import tqdm

    from clinical_mm.importing.folder import write_folder

    if folder.exists() and any(folder.iterdir()):
        raise click.UsageError(f"{folder} is not empty; name a new folder")
    with services() as built:
        caller = operator(built, project)
        chosen = built.cases.select(caller.project_id, {})
        count = write_folder(tqdm(chosen, desc="export", unit="case", disable=None), folder)
    click.echo(f"exported {count} cases to {folder}")


@cases.command()
@project_option
def measure(project: str) -> None:
    """Measure the pixels of images that were stored before this was done at once, so that they are watched too.

    \b
    Example:
      clinical-mm cases measure
    """
    from tqdm import tqdm

    from api.cases.measuring import measure, unmeasured

    with services() as built:
        waiting = unmeasured(built.ground, operator(built, project).project_id)
        bar = tqdm(waiting, desc="measure", unit="image", disable=None)
        faults = [fault for file in bar if (fault := measure(built.ground, *file)) is not None]
    for fault in faults:
        click.echo(fault, err=True)
    click.echo(f"measured {len(waiting) - len(faults)} images, {len(faults)} could not be read")


@cases.command()
@json_option
def verify(as_json: bool) -> None:
    """Read every stored file, of all projects, and compare it with its hash; ends with 1 where one is lost.

    \b
    Example:
      clinical-mm cases verify
      clinical-mm cases verify --json | jq -r '.[].cases[]'
    """
    from tqdm import tqdm

    from api.cases.verifying import look_at, stored_files

    with services() as built:
        files = stored_files(built.ground)
        bar = tqdm(files, desc="verify", unit="file", disable=None)
        lost = [asdict(loss) for digest in bar if (loss := look_at(built.ground, digest)) is not None]
    shown = lost if as_json else [loss | {"cases": ", ".join(loss["cases"])} for loss in lost]
    print_rows(shown, ["sha256", "how", "cases"], as_json=as_json, empty=f"all {len(files)} files are what was stored")
    if lost:
        raise click.ClickException(
            f"{len(lost)} of {len(files)} files are lost; whoever still has one mends it by sending it again, "
            "with any case; else restore a backup"
        )


@cases.command()
@click.argument("case_id", metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
@project_option
def delete(case_id: str, yes: bool, project: str) -> None:
    """Erase a case: row, predictions, reviews and files.

    \b
    Example:
      clinical-mm cases delete case_0dj3...
    """
    with services() as built:
        caller = operator(built, project)
        case = built.cases.get(caller, case_id)
        if not yes:
            click.confirm(f"erase case {case_id} ({case.external_id or case.patient.id}) for good?", abort=True)
        built.cases.erase(caller, case_id)
    click.echo(f"erased {case_id}")


@cases.command("erase-patient")
@click.argument("patient_id", metavar="PATIENT")
@click.option("--yes", is_flag=True, help="Do not ask.")
@project_option
def erase_patient(patient_id: str, yes: bool, project: str) -> None:
    """Erase all that is stored of a patient; prints the certificate as JSON.

    \b
    Example:
      clinical-mm cases erase-patient P-17 > certificate.json
    """
    from api.erasures.schemas import ErasureIn

    if not yes:
        click.confirm(f"erase every case of patient {patient_id} for good?", abort=True, err=True)
    with services() as built:
        print_json(
            built.erasures.erase(operator(built, project), ErasureIn(patient=patient_id)).model_dump(mode="json")
        )


@cases.command("erase-again")
@click.argument("certificates", type=click.Path(exists=True, dir_okay=False, path_type=Path), nargs=-1, required=True)
@project_option
def erase_again(certificates: tuple[Path, ...], project: str) -> None:
    """After a restore: erase what these certificates say was erased before; prints the new certificates.

    \b
    Example:
      clinical-mm cases erase-again certificates/*.json
    """
    import json

    from api.erasures.schemas import ErasureIn
    from api.problems import NotFound

    with services() as built:
        for path in certificates:
            wanted = ErasureIn(cases=json.loads(path.read_text(encoding="utf-8"))["cases"])
            try:
                print_json(built.erasures.erase(operator(built, project), wanted).model_dump(mode="json"))
            except NotFound:
                click.echo(f"{path.name}: none of its cases came back", err=True)


@cases.command()
@project_option
def certificates(project: str) -> None:
    """Every certificate of erasing, newest first, as JSON.

    \b
    Example:
      clinical-mm cases certificates | jq '.[] | select(.complete | not)'
    """
    with services() as built:
        print_json(built.erasures.list(operator(built, project)).model_dump(mode="json")["items"])
