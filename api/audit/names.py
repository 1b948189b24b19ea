"""What the trail calls each route: action, type of object, and which part of the path names the object.

A route that is not listed is told all the same, under its endpoint's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from api.audit.call import known_id


class Name(NamedTuple):
    """How the trail tells of a route."""

    action: str
    object_type: str
    named_by: str | None = "id"


NAMES: dict[str, Name] = {
    "cases.submit_case": Name("case.submit", "case"),
    "cases.list_cases": Name("case.list", "case"),
    "cases.count_cases": Name("case.count", "case"),
    "cases.search_cases": Name("case.list", "case"),
    "cases.count_found": Name("case.count", "case"),
    "cases.get_case": Name("case.read", "case"),
    "cases.change_case": Name("case.change", "case"),
    "cases.erase_case": Name("case.erase", "case"),
    "cases.get_file": Name("case.file", "case"),
    "cases.get_preview": Name("case.preview", "case"),
    "cases.get_raw": Name("case.frame", "case"),
    "catalogue.get_catalogue": Name("catalogue.read", "catalogue"),
    "predictions.create_prediction": Name("prediction.create", "case"),
    "predictions.list_predictions": Name("prediction.list", "case"),
    "predictions.list_similar": Name("case.similar", "case"),
    "predictions.get_prediction": Name("prediction.read", "prediction"),
    "explanations.create_explanation": Name("explanation.create", "prediction"),
    "explanations.list_explanations": Name("explanation.list", "prediction"),
    "explanations.get_explanation": Name("explanation.read", "explanation"),
    "explanations.get_heat_map": Name("explanation.image", "explanation"),
    "reviews.create_review": Name("review.create", "case"),
    "reviews.list_reviews": Name("review.list", "case"),
    "reviews.withdraw_review": Name("review.withdraw", "review"),
    "golden.add_golden": Name("case.golden", "case"),
    "golden.remove_golden": Name("case.ungolden", "case"),
    "bulk.start_import": Name("import.start", "case-import"),
    "bulk.list_imports": Name("import.list", "case-import"),
    "bulk.get_import": Name("import.read", "case-import"),
    "bulk.list_import_results": Name("import.results", "case-import"),
    "bulk.cancel_import": Name("import.cancel", "case-import"),
    "bulk.start_predictions": Name("predictions.start", "prediction-run"),
    "bulk.list_prediction_runs": Name("predictions.list", "prediction-run"),
    "bulk.get_prediction_run": Name("predictions.read", "prediction-run"),
    "bulk.list_prediction_results": Name("predictions.results", "prediction-run"),
    "bulk.cancel_prediction_run": Name("predictions.cancel", "prediction-run"),
    "erasures.erase": Name("erasure.create", "erasure"),
    "erasures.list_certificates": Name("erasure.list", "erasure"),
    "erasures.get_certificate": Name("erasure.read", "erasure"),
    "training.start_training": Name("training.start", "training-run"),
    "training.list_training": Name("training.list", "training-run"),
    "training.get_training": Name("training.read", "training-run"),
    "training.cancel_training": Name("training.cancel", "training-run"),
    "training.watch_training": Name("training.watch", "training-run"),
    "training.read_log": Name("training.log", "training-run"),
    "models.list_models": Name("model.list", "model"),
    "models.get_model": Name("model.read", "model"),
    "models.get_card": Name("model.card", "model"),
    "models.get_report": Name("model.report", "model"),
    "models.list_used_cases": Name("model.cases", "model"),
    "models.rollback_model": Name("model.rollback", "model"),
    "promotion.get_comparison": Name("model.comparison", "model"),
    "promotion.compare_model": Name("model.compare", "model"),
    "promotion.promote_model": Name("model.promote", "model"),
    "shadows.get_shadow": Name("model.shadow_report", "model"),
    "shadows.begin_shadow": Name("model.shadow", "model"),
    "shadows.end_shadow": Name("model.shadow_end", "model"),
    "keys.create_key": Name("key.create", "key"),
    "keys.list_keys": Name("key.list", "key"),
    "keys.revoke_key": Name("key.revoke", "key"),
    "project.get_project": Name("project.read", "project"),
    "project.change_project": Name("project.change", "project"),
    "watching.watch": Name("watching.read", "watching"),
    "audit.list_audit": Name("audit.list", "audit"),
    "pages.case_list": Name("case.list", "case"),
    "pages.search": Name("case.search", "case"),
    "pages.case": Name("case.read", "case", "case_id"),
    "pages.case_report": Name("case.report", "case", "case_id"),
    "pages.preview": Name("case.preview", "case", "case_id"),
    "pages.raw": Name("case.frame", "case", "case_id"),
    "pages.similar": Name("case.similar", "case", "case_id"),
    "pages.predict": Name("prediction.create", "case", "case_id"),
    "pages.explain": Name("explanation.create", "prediction", "prediction_id"),
    "pages.heatmap": Name("explanation.image", "explanation", "explanation_id"),
    "pages.review": Name("review.create", "case", "case_id"),
    "pages.golden": Name("case.golden", "case", "case_id"),
    "pages.withdraw": Name("review.withdraw", "review", "review_id"),
    "pages.training": Name("training.list", "training-run"),
    "pages.training_runs": Name("training.list", "training-run"),
    "pages.start_training": Name("training.start", "training-run"),
    "pages.training_run": Name("training.read", "training-run", "run_id"),
    "pages.training_run_now": Name("training.read", "training-run", "run_id"),
    "pages.training_run_events": Name("training.watch", "training-run", "run_id"),
    "pages.training_run_log": Name("training.log", "training-run", "run_id"),
    "pages.cancel_training": Name("training.cancel", "training-run", "run_id"),
    "pages.models": Name("model.list", "model"),
    "pages.model": Name("model.read", "model", "model_id"),
    "pages.model_card": Name("model.card", "model", "model_id"),
    "pages.model_cases": Name("model.cases", "model", "model_id"),
    "pages.report": Name("model.report", "model", "model_id"),
    "pages.comparison": Name("model.comparison", "model", "model_id"),
    "pages.compare": Name("model.compare", "model", "model_id"),
    "pages.promote": Name("model.promote", "model", "model_id"),
    "pages.roll_back": Name("model.rollback", "model"),
    "pages.shadow": Name("model.shadow", "model", "model_id"),
    "pages.watching": Name("watching.read", "watching"),
    "pages.audit": Name("audit.list", "audit"),
    "pages.project": Name("project.read", "project"),
    "pages.change": Name("project.change", "project"),
    "pages.sign_in": Name("session.form", "session"),
    "pages.sign_in_provider": Name("session.provider", "session"),
    "pages.sign_in_callback": Name("session.sign_in", "session"),
    "pages.enter": Name("session.enter", "session"),
    "pages.check_key": Name("session.sign_in", "session"),
    "pages.sign_out": Name("session.sign_out", "session"),
    "pages.sessions": Name("session.list", "session"),
    "pages.end_session": Name("session.end", "session"),
    "pages.end_other_sessions": Name("session.end", "session"),
}

READS = frozenset({"cases.search_cases", "cases.count_found", "pages.search"})
"""What is sent by POST and changes nothing: its words have no place in an address."""


def told_as(endpoint: str, parts: Mapping[str, Any]) -> tuple[str, str, str]:
    """Action, type of object and id of a request; the id is empty where the path names none of ours."""
    name = NAMES.get(endpoint)
    if name is None:
        ids = (known_id(part) for part in parts.values())
        return endpoint[:60], endpoint.partition(".")[0][:40], next((i for i in ids if i), "")
    return name.action, name.object_type, known_id(parts.get(name.named_by or ""))
