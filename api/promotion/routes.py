"""/v1/models/{id}/comparison and /promote: may this model serve."""

from __future__ import annotations

from flask_openapi import APIBlueprint, Tag

from api.access.guard import caller, needs
from api.access.service import Role
from api.ground.wire import SECURITY, Answer, answer, refusals
from api.models.schemas import ModelOut, ModelPath
from api.promotion.schemas import DecisionOut, PromotionIn
from api.promotion.service import Promotions

TAG = Tag(name="models", description="Trained models and which one serves.")


def blueprint(promotions: Promotions) -> APIBlueprint:
    """The routes over comparisons and promotions."""
    api = APIBlueprint("promotion", __name__, url_prefix="/v1", abp_tags=[TAG], abp_security=SECURITY)

    @api.get("/models/<id>/comparison", responses={200: DecisionOut})
    @needs(Role.VIEWER)
    def get_comparison(path: ModelPath) -> Answer:
        """How the model did beside the one that served: what the policy said, why, and every number."""
        return answer(promotions.told(caller(), path.id))

    @api.post("/models/<id>/comparison", responses={201: DecisionOut, **refusals(409)})
    @needs(Role.TRAINER)
    def compare_model(path: ModelPath) -> Answer:
        """Compare with the serving model now, on stored cases that neither has learned from; takes a while."""
        return answer(promotions.compare(caller(), path.id), 201)

    @api.post("/models/<id>/promote", responses={200: ModelOut, **refusals(409)})
    @needs(Role.ADMIN)
    def promote_model(path: ModelPath, body: PromotionIn) -> Answer:
        """Let a model serve, from the next request on; one that its comparison rejected takes a reason."""
        return answer(promotions.promote(caller(), path.id, body.reason))

    return api
