"""/v1/models: the registry."""

from __future__ import annotations

from flask_openapi import APIBlueprint, Tag

from api.access.guard import caller, needs
from api.access.service import Role
from api.audit.call import shows
from api.ground.wire import SECURITY, Answer, answer, refusals, told
from api.idempotency.header import IDEMPOTENT, idempotency_key
from api.idempotency.service import SentKey
from api.models.lineage import Lineage
from api.models.schemas import EvaluationReport, ModelList, ModelOut, ModelPath, UsedCases, UsedCasesQuery
from api.models.service import Models
from clinical_mm.model_card import ModelCard

TAG = Tag(name="models", description="Trained models and which one serves.")


def blueprint(models: Models, lineage: Lineage) -> APIBlueprint:
    """The routes over the registry."""
    api = APIBlueprint("models", __name__, url_prefix="/v1", abp_tags=[TAG], abp_security=SECURITY)

    @api.get("/models", responses={200: ModelList})
    @needs(Role.VIEWER)
    def list_models() -> Answer:
        """Models, newest first."""
        return answer(ModelList(items=models.list(caller())))

    @api.get("/models/<id>", responses={200: ModelOut})
    @needs(Role.VIEWER)
    def get_model(path: ModelPath) -> Answer:
        """One model: its card, its data snapshot, its evaluation."""
        return answer(models.get(caller(), path.id))

    @api.get("/models/<id>/report", responses={200: EvaluationReport})
    @needs(Role.VIEWER)
    def get_report(path: ModelPath) -> Answer:
        """How the model did on its test part: by diagnosis, modalities and groups, calibration, confounders."""
        return answer(EvaluationReport(model=path.id, report=models.report(caller(), path.id)))

    @api.get("/models/<id>/card", responses={200: ModelCard})
    @needs(Role.VIEWER)
    def get_card(path: ModelPath) -> Answer:
        """The model card by the field's published sections (Mitchell et al., 2019)."""
        return answer(models.model_card(caller(), path.id))

    @api.get("/models/<id>/cases", responses={200: UsedCases})
    @needs(Role.VIEWER)
    def list_used_cases(path: ModelPath, query: UsedCasesQuery) -> Answer:
        """Each case that the model was made of: its part, its label then and now, whether it is still stored."""
        page = lineage.cases(caller(), path.id, query.limit, query.cursor)
        shows(used.case_id for used in page.items)
        return answer(page)

    @api.post("/models/rollback", responses={200: ModelOut, **refusals(409)}, openapi_extensions=told(takes=IDEMPOTENT))
    @needs(Role.ADMIN)
    def rollback_model() -> Answer:
        """Let the model serve that served before."""
        return answer(models.rollback(caller(), SentKey.of(idempotency_key(), "rollback")))

    return api
