"""The reviewer's part of a case's page: a word is saved, told, and can be undone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Blueprint, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from api.access.guard import caller, needs
from api.access.service import Caller, Role
from api.pages.case_list import kept_filters
from api.pages.read_first import refuse_hidden
from api.pages.wording import moment, name_of, named
from api.reviews.schemas import ReviewIn, ReviewOut
from api.services import Services
from clinical_mm.catalogue import Catalogue, Diagnosis

VERDICTS = (("confirm", "c", "Confirm"), ("override", "o", "Override"), ("unsure", "u", "Unsure"))
VERDICTS_BEFORE = (("override", "o", "I see"), ("unsure", "u", "Unsure"))
"""Value, key and word of each choice; without a model's answer there is nothing to confirm."""


def add(pages: Blueprint, services: Services) -> None:
    """Add these routes."""

    def back_to(review: ReviewOut) -> AnyResponse:
        return redirect(url_for("pages.case", case_id=review.case_id, saved=review.id, **kept_filters()), 303)

    @pages.post("/cases/<case_id>/review")
    @needs(Role.CLINICIAN)
    def review(case_id: str) -> AnyResponse:
        said = _said()
        if not said.before_model:
            refuse_hidden(services, caller(), case_id)
        return back_to(services.reviews.create(caller(), case_id, said))

    @pages.post("/cases/<case_id>/golden")
    @needs(Role.ADMIN)
    def golden(case_id: str) -> AnyResponse:
        change = services.golden.add if request.form.get("golden") == "yes" else services.golden.remove
        change(caller(), case_id)
        return redirect(url_for("pages.case", case_id=case_id, **kept_filters()), 303)

    @pages.post("/reviews/<review_id>/withdraw")
    @needs(Role.CLINICIAN)
    def withdraw(review_id: str) -> AnyResponse:
        return back_to(services.reviews.withdraw(caller(), review_id))


def review_view(services: Services, who: Caller, case_id: str, *, hidden: bool) -> dict[str, Any]:
    """What the page shows of reviews; while the model's word is hidden, none of others: they may repeat it."""
    catalogue = services.ground.catalogue
    reviews = services.reviews.history(who, case_id)
    undoable = next((r for r in reviews if _is_undoable(r, who)), None)
    saved = next((r for r in reviews if r.id == request.args.get("saved") and r.reviewer == who.signature), None)
    shown = [] if hidden else reviews
    return {
        "hidden": hidden,
        "verdicts": VERDICTS_BEFORE if hidden else VERDICTS,
        "choices": _choices(services, who),
        "untold": len(reviews) - len(shown),
        "history": [_entry(catalogue, review) for review in shown],
        "undoable": undoable.id if undoable else None,
        "saved": _entry(catalogue, saved) if saved else None,
        "has_read_first": any(r.before_model for r in shown),
    }


def _choices(services: Services, who: Caller) -> list[Diagnosis]:
    """Those that the serving model knows come first, so that the digits reach them; the same order for every case."""
    serving = services.models.serving(who.project_id)
    known = serving.diagnoses if serving else []
    return sorted(services.ground.catalogue.diagnoses, key=lambda d: d.code not in known)


def _is_undoable(review: ReviewOut, who: Caller) -> bool:
    return review.reviewer == who.signature and review.withdrawn_at is None and not review.before_model


def _entry(catalogue: Catalogue, review: ReviewOut) -> dict[str, Any]:
    return {
        "id": review.id,
        "verdict": review.verdict,
        "before_model": review.before_model,
        "named": named(catalogue, review.diagnoses),
        "comment": review.comment,
        "reviewer": review.reviewer,
        "who": name_of(review.reviewer),
        "when": moment(review.created_at),
        "withdrawn": f"{name_of(review.withdrawn_by or '')}, {moment(review.withdrawn_at)}"
        if review.withdrawn_at
        else "",
    }


def _said() -> ReviewIn:
    verdict = request.form.get("verdict", "")
    diagnoses: Sequence[str] | None = request.form.getlist("diagnoses") if verdict == "override" else None
    return ReviewIn.model_validate(
        {
            "prediction": request.form.get("prediction") or None,
            "verdict": verdict,
            "diagnoses": diagnoses,
            "comment": request.form.get("comment", "").strip() or None,
            "before_model": request.form.get("before_model") == "yes",
        }
    )
