"""The model card by the field's published sections, as JSON with a schema and as one printable page.

Everything comes from what the training kept (``docs/card.json``) and from the report on the test part; of what is not
known it says so. Sections: Mitchell et al., Model Cards for Model Reporting, 2019 (arXiv:1810.03993).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from clinical_mm.evaluation.groups import UNKNOWN

if TYPE_CHECKING:
    from jinja2 import Template

OUT_OF_SCOPE = (
    "Any use without a clinician who reviews each answer.",
    "Diagnoses, age groups, devices and sites that the training cases do not show.",
    "Screening of healthy people: probabilities hold for cases like those that taught.",
)
ETHICAL = (
    "The bundle holds no image, no note and no patient's identity, only ids of cases and hashes of their contents.",
    "Explanations can make a wrong answer convincing; a project can ask its reviewers to read first.",
    "Labels are reviewers' words; what they all miss, the model learns to miss.",
)
DECIDED = ("sensitivity", "specificity")
GROUP_FIELDS = ("cases", "macro_auroc", "gap", "unequal")


class Figure(BaseModel):
    """A metric with its 95 % interval; null where it is not defined."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


class ModelDetails(BaseModel):
    """What it is and when it was made."""

    name: str
    description: str
    created_at: str
    weights_sha256: str | None
    modalities: list[str]
    diagnoses: list[str]
    parameters: dict[str, Any]
    started_from: str | None
    versions: dict[str, str]
    license: str = "that of the hospital that trained it; the software: Apache-2.0"


class IntendedUse(BaseModel):
    """What it is for, and what not."""

    primary: str
    users: str = "clinicians who review each answer"
    out_of_scope: list[str]


class Factors(BaseModel):
    """Groups told apart, and those about which nothing can be said."""

    evaluated: list[str]
    not_evaluated: list[str]


class Metrics(BaseModel):
    """What was measured, and how sure it is."""

    chosen: list[str]
    decision_threshold: str
    uncertainty: str = "95 % intervals, bootstrap over whole patients"


class ReviewerFigure(BaseModel):
    """How many of a key's labels are unlikely, given the rest of their case."""

    reviewer: str
    labels: int
    suspicious: Figure
    named: bool


class Labels(BaseModel):
    """Where the snapshot's labels come from, what the label policy left out, and what a check of them found."""

    as_sent: int
    reviewed: int
    golden: int
    left_out: dict[str, int]
    checked: int
    suspicious: int
    reviewers: list[ReviewerFigure]


class Data(BaseModel):
    """The cases behind a part of the work."""

    cases: int
    patients: int | None
    snapshot_sha256: str | None
    manifest_sha256: str | None
    acquired: str
    by_diagnosis: dict[str, int]
    by_sex: dict[str, int]
    by_age: dict[str, int]
    with_modality: dict[str, int]
    synthetic: bool
    how: str
    labels: Labels | None = None


class GroupFigure(BaseModel):
    """A metric on one group; ``gap`` to everyone else."""

    group: str
    cases: int
    macro_auroc: Figure
    gap: Figure
    unequal: bool


class DiagnosisFigure(BaseModel):
    """How well one diagnosis is told."""

    code: str
    cases: int
    auroc: Figure
    sensitivity: Figure
    specificity: Figure


class Analyses(BaseModel):
    """Results: as a whole, by diagnosis, by group, by what evidence there is."""

    macro_auroc: Figure
    macro_auprc: Figure
    brier: Figure
    calibration_error: float | None
    set_coverage: float | None
    set_promised: float | None
    diagnoses: list[DiagnosisFigure]
    groups: list[GroupFigure]
    subsets: dict[str, Figure]


class ExplainerFigure(BaseModel):
    """How an explainer was judged on this model."""

    name: str
    offered: bool
    cases: int
    gain: float | None
    completeness_error: float | None
    randomised: float | None


class ModelCard(BaseModel):
    """The whole card."""

    model_details: ModelDetails
    intended_use: IntendedUse
    factors: Factors
    metrics: Metrics
    evaluation_data: Data | None
    training_data: Data
    quantitative_analyses: Analyses | None
    explanations: list[ExplainerFigure]
    ethical_considerations: list[str]
    caveats_and_recommendations: list[str]


def model_card(
    kept: Mapping[str, Any], report: Mapping[str, Any] | None, weights_sha256: str | None = None
) -> ModelCard:
    """From ``docs/card.json`` and, where a test part was left, ``docs/report.json``."""
    data, started = kept["data"], kept.get("started_from")
    return ModelCard(
        model_details=ModelDetails(
            name=kept["name"],
            description=kept["description"],
            created_at=kept["created_at"],
            weights_sha256=weights_sha256,
            modalities=kept["modalities"],
            diagnoses=kept["diagnoses"],
            parameters=kept.get("parameters", {}),
            started_from=None if started is None else started["name"],
            versions=kept["versions"],
        ),
        intended_use=IntendedUse(primary=kept["intended_use"], out_of_scope=list(OUT_OF_SCOPE)),
        factors=_factors(report),
        metrics=Metrics(
            chosen=["macro AUROC", "macro AUPRC", "Brier score", "expected calibration error", "coverage of the sets"],
            decision_threshold="a probability of one half, or the most probable where exactly one diagnosis holds",
        ),
        evaluation_data=None if report is None else _evaluated(data, report),
        training_data=_taught(data).model_copy(update={"labels": _labels(kept.get("labels"))}),
        quantitative_analyses=None if report is None else _analyses(report),
        explanations=[_explainer(row) for row in kept.get("explanations", ())],
        ethical_considerations=list(ETHICAL),
        caveats_and_recommendations=[*kept["limits"], *_caveats(report), *_of_labels(kept.get("labels"))],
    )


def card_schema() -> dict[str, Any]:
    """JSON Schema of the card."""
    return ModelCard.model_json_schema()


def card_html(card: ModelCard, names: Mapping[str, str]) -> str:
    """One page without scripts, links or network; ``names``: code -> display."""
    return _template().render(card=card, names=names)


def _factors(report: Mapping[str, Any] | None) -> Factors:
    told = {} if report is None else {group["by"]: None for group in report.get("groups", ())}
    known = ("sex", "age", "site", "device", "view")
    return Factors(evaluated=[by for by in known if by in told], not_evaluated=[by for by in known if by not in told])


def _taught(data: Mapping[str, Any]) -> Data:
    return Data(
        cases=data["labelled_cases"],
        patients=data["patients"],
        snapshot_sha256=data["snapshot_sha256"],
        manifest_sha256=data.get("manifest_sha256"),
        acquired=_span(data.get("acquired")),
        by_diagnosis=data["by_diagnosis"],
        by_sex=data["by_sex"],
        by_age=data.get("by_age", {}),
        with_modality=data["with"],
        synthetic=data["synthetic"],
        how=f"{data['train']} cases taught, {data['validation']} chose and calibrated, {data['test']} judged; "
        "a patient's part follows from a hash of the patient's id",
    )


def _evaluated(data: Mapping[str, Any], report: Mapping[str, Any]) -> Data:
    def counts(by: str) -> dict[str, int]:
        return {g["group"]: g["cases"] for g in report.get("groups", ()) if g["by"] == by and g["group"] != UNKNOWN}

    return Data(
        cases=report["cases"],
        patients=report["patients"],
        snapshot_sha256=data["snapshot_sha256"],
        manifest_sha256=data.get("manifest_sha256"),
        acquired="not told apart from the training data's",
        by_diagnosis={code: told["positives"] for code, told in report["diagnoses"].items()},
        by_sex=counts("sex"),
        by_age=counts("age"),
        with_modality={" + ".join(s["modalities"]): s["cases"] for s in report.get("subsets", ())},
        synthetic=data["synthetic"],
        how="the test part: patients of whom no case taught, chose or calibrated",
    )


def _analyses(report: Mapping[str, Any]) -> Analyses:
    promised = report.get("prediction_set", {}).get("promised")
    return Analyses(
        macro_auroc=report["macro_auroc"],
        macro_auprc=report["macro_auprc"],
        brier=report["brier"],
        calibration_error=report["expected_calibration_error"],
        set_coverage=report["prediction_set_coverage"],
        set_promised=promised,
        diagnoses=[
            DiagnosisFigure(code=code, cases=told["positives"], **{k: told[k] for k in ("auroc", *DECIDED)})
            for code, told in report["diagnoses"].items()
        ],
        groups=[
            GroupFigure(group=f"{g['by']}: {g['group']}", **{k: g[k] for k in GROUP_FIELDS})
            for g in report.get("groups", ())
        ],
        subsets={" + ".join(s["modalities"]): s["macro_auroc"] for s in report.get("subsets", ())},
    )


def _explainer(row: Mapping[str, Any]) -> ExplainerFigure:
    scores = {key: row.get(key) for key in ("gain", "completeness_error", "randomised")}
    return ExplainerFigure(name=row["display"], offered=row["offered"], cases=row["cases"], **scores)


def _caveats(report: Mapping[str, Any] | None) -> Sequence[str]:
    if report is None:
        return ["No case was left to judge it on: nothing is known of how good it is."]
    unequal = [f"{g['by']} {g['group']}" for g in report.get("groups", ()) if g["unequal"]]
    found = [f"Another quality than for everyone else was measured for: {', '.join(unequal)}."] if unequal else []
    return [*found, "Measured on cases of the same hospitals that taught it; another hospital measures anew."]


def _labels(account: Mapping[str, Any] | None) -> Labels | None:
    """None for a model from before labels were checked, or one that was made outside the service."""
    if account is None:
        return None
    told, noise = account["report"], account["noise"]
    return Labels(
        **{key: told[key] for key in ("as_sent", "reviewed", "golden", "left_out")},
        checked=noise["checked"],
        suspicious=noise["suspicious"],
        reviewers=[
            ReviewerFigure(
                reviewer=one["reviewer"], labels=one["labels"], suspicious=one["share"], named=bool(one["said"])
            )
            for one in noise["reviewers"]
        ],
    )


def _of_labels(account: Mapping[str, Any] | None) -> Sequence[str]:
    said = [one["said"] for one in ((account or {}).get("noise") or {}).get("reviewers", ()) if one["said"]]
    return [f"Of the labels that taught: {one}." for one in said]


def _span(acquired: Sequence[str] | None) -> str:
    return "not told" if not acquired else " to ".join(acquired)


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string((Path(__file__).parent / "model_card.html.jinja").read_text(encoding="utf-8"))
