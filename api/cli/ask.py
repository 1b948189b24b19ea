"""``clinical-mm predict``, ``explain`` and ``evaluate``: ask a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from api.cli.context import operator, project_option, services
from api.cli.output import print_json

if TYPE_CHECKING:
    from clinical_mm.case import Case
    from clinical_mm.predictor import Predictor


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
@click.option("--method", default=None, help="How, such as occlusion or counterfactuals; default: the model's own.")
@click.option("--baseline", "baselines", multiple=True, metavar="MODALITY=NAME", help="What stands for nothing.")
@project_option
def explain(case_id: str, target: str | None, method: str | None, baselines: tuple[str, ...], project: str) -> None:
    """Predict a stored case and print why, as the API gives it.

    \b
    Example:
      clinical-mm explain case_0dj3... --target pneumonia | jq .text
      clinical-mm explain case_0dj3... --method counterfactuals | jq .counterfactuals
      clinical-mm explain case_0dj3... --baseline imaging=blurred
    """
    from api.explanations.schemas import ExplanationIn

    asked = dict(pair.split("=", 1) for pair in baselines if "=" in pair)
    if len(asked) < len(baselines):
        raise click.BadParameter(
            "one MODALITY=NAME for each modality, such as imaging=blurred", param_hint="--baseline"
        )
    with services() as built:
        caller = operator(built, project)
        prediction = built.predictions.create(caller, case_id, None)
        question = ExplanationIn(target=target, methods=[method] if method else None, baselines=asked or None)
        explanation = built.explanations.create(caller, prediction.id, question)
        print_json(explanation.model_dump(mode="json"))


@click.command()
@click.argument("model_id", metavar="MODEL_ID")
@click.option("--cases", "query", default=None, help="Only labelled cases that match this search.")
@click.option("--html", "page", type=click.Path(dir_okay=False, path_type=Path), help="Write the report as a page too.")
@click.option("--explainers", "judges", default=0, metavar="N", help="Judge the explainers too, on N of the cases.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@project_option
def evaluate(model_id: str, query: str | None, page: Path | None, judges: int, as_json: bool, project: str) -> None:
    """Score a model on the stored labelled cases. Cases it was trained on are left out.

    \b
    Example:
      clinical-mm evaluate model_0dj3... --cases 2026-03
      clinical-mm evaluate model_0dj3... --html report.html
      clinical-mm evaluate model_0dj3... --explainers 20
    """
    from clinical_mm.evaluation.page import report_html
    from clinical_mm.evaluation.report import evaluate as score

    with services() as built:
        caller = operator(built, project)
        model = built.models.get(caller, model_id)
        unseen = list(built.training.unseen_cases(caller, model_id, {"q": query} if query else {}))
        predictor = built.models.predictor(model.id)
        report = score(predictor, unseen)
        if judges:
            report = replace(report, explanations=_judged(predictor, unseen[:judges]))
    if page is not None:
        page.write_text(report_html(report, model.card, built.ground.catalogue), encoding="utf-8")
    if as_json:
        print_json(report.to_json())
    else:
        click.echo(report.to_text())


def _judged(predictor: Predictor, cases: list[Case]) -> list[dict[str, Any]]:
    """A row for each explainer, with a bar where a person watches: each case takes seconds."""
    from tqdm import tqdm

    from clinical_mm.explaining.offer import judged

    with tqdm(total=len(cases), desc="explainers", unit="case", disable=None) as bar:

        def tell(done: int, _of: int) -> None:
            bar.update(done - bar.n)

        return judged(predictor, cases, tell)
