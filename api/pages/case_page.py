"""One case on one screen: what it brings, what the model says and why, what reviewers said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Blueprint, Response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from api.access.guard import caller, needs
from api.access.service import Caller, Role
from api.audit.call import shows
from api.cases.schemas import CaseOut
from api.explanations.schemas import ExplanationIn, ExplanationOut
from api.ground.wire import binary
from api.pages.answer import (
    COUNTERFACTUALS,
    accounts,
    method_choices,
    offers_changes,
    what_would_change,
    worth_telling,
)
from api.pages.case_list import IMMUTABLE, kept_filters, walk_from
from api.pages.case_review import review_view
from api.pages.measures import absent_measures, measure_rows
from api.pages.project_page import identity_view
from api.pages.read_first import is_hidden, refuse_hidden
from api.pages.stacks import stacks
from api.pages.wording import MODALITIES, moment, named, person, what_is_absent
from api.pages.words import Told, badges, pieces, strongest_phrases
from api.predictions.doubt import said_before
from api.predictions.schemas import PredictionOut
from api.reviews.service import probable
from api.services import Services
from clinical_mm.notes import phrases

SAID_OTHERWISE = frozenset({"image-missing", "note-missing", "vitals-missing"})
"""Warnings that the sentence on what is absent tells already."""
SIMILAR_SHOWN = 5


def add(pages: Blueprint, services: Services) -> None:
    """Add these routes."""

    def back_to(case_id: str, target: str | None = None, method: str | None = None) -> AnyResponse:
        return redirect(url_for("pages.case", case_id=case_id, target=target, method=method, **kept_filters()), 303)

    @pages.get("/cases/<case_id>", endpoint="case")
    @needs(Role.VIEWER)
    def show(case_id: str) -> str:
        asked = request.args.get("target"), request.args.get("method")
        return render_template("case.html", **case_view(services, caller(), case_id, *asked))

    @pages.post("/cases/<case_id>/predict")
    @needs(Role.CLINICIAN)
    def predict(case_id: str) -> AnyResponse:
        refuse_hidden(services, caller(), case_id)
        services.predictions.create(caller(), case_id)
        return back_to(case_id)

    @pages.post("/cases/<case_id>/predictions/<prediction_id>/explain")
    @needs(Role.CLINICIAN)
    def explain(case_id: str, prediction_id: str) -> AnyResponse:
        refuse_hidden(services, caller(), services.predictions.get(caller(), prediction_id).case_id)
        target, methods = request.form.get("target") or None, request.form.getlist("methods") or None
        question = ExplanationIn(target=target, methods=methods)
        made = services.explanations.create(caller(), prediction_id, question)
        method = request.form.get("shown") if made.method == COUNTERFACTUALS else made.method
        return back_to(case_id, made.target, method or None)

    @pages.get("/cases/<case_id>/similar")
    @needs(Role.VIEWER)
    def similar(case_id: str) -> str:
        refuse_hidden(services, caller(), case_id)
        found = services.predictions.similar(caller(), case_id, SIMILAR_SHOWN).items
        cases = [services.cases.get(caller(), s.case_id) for s in found]
        shows(case.id for case in cases)
        shown = [
            {
                "case_id": s.case_id,
                "similarity": s.similarity,
                "patient": case.patient.id,
                "label": named(services.ground.catalogue, s.diagnoses),
            }
            for s, case in zip(found, cases, strict=True)
        ]
        return render_template("case_similar.html", similar=shown)

    @pages.get("/explanations/<explanation_id>/images/<int:n>.png")
    @needs(Role.VIEWER)
    def heatmap(explanation_id: str, n: int) -> Response:
        refuse_hidden(services, caller(), services.explanations.get(caller(), explanation_id).case_id)
        return binary(
            services.explanations.image(caller(), explanation_id, n, overlay_only=True), "image/png", IMMUTABLE
        )


def case_view(
    services: Services, who: Caller, case_id: str, target: str | None, method: str | None = None
) -> dict[str, Any]:
    """Everything the page shows; ``target`` and ``method`` as the address asks for them."""
    case = services.cases.get(who, case_id)
    hidden = is_hidden(services, who, case)
    predictions = [] if hidden else services.predictions.of_case(who, case_id)
    prediction = predictions[0] if predictions else None
    explanations = services.explanations.of_prediction(who, prediction.id) if prediction else []
    target, explanation = _chosen(prediction, accounts(explanations), target, method)
    walk = walk_from(services, who, case)
    catalogue = services.ground.catalogue
    return {
        "case": case,
        "person": person(case),
        "when": moment(case.acquired_at or case.created_at),
        "label": named(catalogue, case.diagnoses),
        "identity": identity_view(case.deidentification),
        "catalogue": catalogue,
        **walk,
        "address": _address(case_id, target, explanation, walk["kept"]),
        "serving": not hidden and services.models.serving(who.project_id) is not None,
        "previous": _previous(predictions),
        "stacks": _stacks(case, explanation),
        "target": target,
        "target_display": named(catalogue, [target]) if target else "",
        "explanation": explanation,
        "outdated": prediction is not None and prediction.case_version != case.version,
        **_evidence(services, case, explanation),
        **_answer(services, prediction, explanation),
        **_asks(services, prediction, explanations, target, explanation),
        **review_view(services, who, case_id, hidden=hidden),
    }


def _previous(predictions: list[PredictionOut]) -> dict[str, Any] | None:
    """What the model before said of the same version of the case."""
    before = said_before(predictions)
    if before is None:
        return None
    return {"model": before.model, "probabilities": {d.code: d.probability for d in before.diagnoses}}


def _chosen(
    prediction: PredictionOut | None, explanations: list[ExplanationOut], target: str | None, method: str | None
) -> tuple[str | None, ExplanationOut | None]:
    """Which diagnosis the page speaks of, and the explanation of it: by the method asked for, else the newest."""
    if prediction is None:
        return None, None
    known = [d.code for d in prediction.diagnoses]
    targets = {e.target for e in explanations}
    if target not in known:
        target = known[0] if known[0] in targets or not explanations else explanations[0].target
    of_target = [e for e in explanations if e.target == target]
    by_method = (e for e in of_target if e.method == method)
    return target, next(by_method, of_target[0] if of_target else None)


def _address(case_id: str, target: str | None, explanation: ExplanationOut | None, kept: dict[str, Any]) -> str:
    """Where this page is found again, with what it speaks of."""
    if explanation is None:
        return url_for("pages.case", case_id=case_id, **kept)
    return url_for("pages.case", case_id=case_id, target=target, method=explanation.method, **kept)


def _asks(
    services: Services,
    prediction: PredictionOut | None,
    explanations: list[ExplanationOut],
    target: str | None,
    shown: ExplanationOut | None,
) -> dict[str, Any]:
    """What can be asked of the model, and what was."""
    if prediction is None:
        return {"methods": []}
    offered = services.explanations.methods(prediction.model)
    return {
        "methods": method_choices(offered, explanations, target, shown.method if shown else None),
        "offers_changes": offers_changes(offered),
        "what_ifs": what_would_change(services.ground.catalogue, explanations, target),
    }


def _stacks(case: CaseOut, explanation: ExplanationOut | None) -> list[dict[str, Any]]:
    heatmaps = {}
    if explanation is not None:
        for n, image in enumerate(explanation.images):
            address = url_for("pages.heatmap", explanation_id=explanation.id, n=n)
            heatmaps[image.file, image.frame] = address
    return stacks(
        case.files,
        lambda file, frame: url_for("pages.raw", case_id=case.id, n=file, frame=frame),
        heatmaps,
    )


def _evidence(services: Services, case: CaseOut, explanation: ExplanationOut | None) -> dict[str, Any]:
    words = pieces(case.note or "", phrases_of(services, case, explanation))
    attributions = {v.name: v.attribution for v in explanation.vitals} if explanation else {}
    return {
        "words": words,
        "strongest": strongest_phrases(words),
        "badges": badges(words),
        "measures": measure_rows(services.ground.catalogue, case.vitals, attributions),
        "unmeasured": absent_measures(services.ground.catalogue, case.vitals),
    }


def phrases_of(services: Services, case: CaseOut, explanation: ExplanationOut | None) -> Sequence[Told]:
    """The phrases of an explanation; one that was stored before there were any has words to make them of."""
    if explanation is None:
        return ()
    return explanation.phrases or phrases(case.note or "", explanation.text, services.ground.wording)


def _answer(services: Services, prediction: PredictionOut | None, explanation: ExplanationOut | None) -> dict[str, Any]:
    if prediction is None:
        return {"prediction": None}
    contributions = {m.name: m.contribution for m in explanation.modalities} if explanation else {}
    presences = {m.name: worth_telling(m.presence) for m in explanation.modalities} if explanation else {}
    strongest = max((abs(c) for c in contributions.values()), default=0.0) or 1.0
    return {
        "prediction": prediction,
        "absent": what_is_absent({m.name: m.present for m in prediction.modalities}),
        "warnings": [w for w in prediction.warnings if w.code not in SAID_OTHERWISE],
        "shares": [
            {
                "display": MODALITIES.get(m.name, m.name).capitalize(),
                "present": m.present,
                "weight": m.weight,
                "contribution": contributions.get(m.name),
                "presence": presences.get(m.name),
                "length": 100 * abs(contributions.get(m.name) or 0.0) / strongest,
            }
            for m in prediction.modalities
        ],
        "confirmed": named(services.ground.catalogue, probable(prediction.model_dump())),
        "answered": moment(prediction.created_at),
    }
