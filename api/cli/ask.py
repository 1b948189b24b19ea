"""``clinical-mm predict``, ``explain`` and ``evaluate``: ask a model."""

from __future__ import annotations

from pathlib import Path

import click

from api.cli.context import operator, project_option, services
from api.cli.output import print_json


@click.command()
@click.argument("case_id", metavar="CASE_ID")
@click.option("--model", default=None, help="A model's id; default: the one that serves.")
@project_option
def predict(case_id: str, model: str | None, project: str) -> None:
    """Print the prediction for a stored case, as the API gives it.

    \b
    Example:
      clinical-mm predict case_0dj3... | jq .diagnoses
    """
    with services() as built:
        print_json(built.predictions.create(operator(built, project), case_id, model).model_dump(mode="json"))


@click.command()
@click.argument("case_id", metavar="CASE_ID")
@click.option("--target", default=None, help="A diagnosis code; default: the most probable.")
@click.option("--method", default="integrated_gradients", show_default=True)
@project_option
def explain(case_id: str, target: str | None, method: str, project: str) -> None:
    """Predict a stored case and print why, as the API gives it.

    \b
    Example:
      clinical-mm explain case_0dj3... --target pneumonia | jq .text
    """
    with services() as built:
        caller = operator(built, project)
        prediction = built.predictions.create(caller, case_id, None)
        explanation = built.explanations.create(caller, prediction.id, target, [method])
        print_json(explanation.model_dump(mode="json"))


@click.command()
@click.argument("model_id", metavar="MODEL_ID")
@click.option("--cases", "query", default=None, help="Only labelled cases that match this search.")
@click.option("--html", "page", type=click.Path(dir_okay=False, path_type=Path), help="Write the report as a page too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@project_option
def evaluate(model_id: str, query: str | None, page: Path | None, as_json: bool, project: str) -> None:
    """Score a model on the stored labelled cases. Cases it was trained on are left out.

    \b
    Example:
      clinical-mm evaluate model_0dj3... --cases 2026-03
      clinical-mm evaluate model_0dj3... --html report.html
    """
    from clinical_mm.evaluation.page import report_html
    from clinical_mm.evaluation.report import evaluate as score

    with services() as built:
        caller = operator(built, project)
        model = built.models.get(caller, model_id)
        unseen = built.training.unseen_cases(caller, model_id, {"q": query} if query else {})
        report = score(built.models.predictor(model.id), unseen)
    if page is not None:
        page.write_text(report_html(report, model.card, built.ground.catalogue), encoding="utf-8")
    if as_json:
        print_json(report.to_json())
    else:
        click.echo(report.to_text())
