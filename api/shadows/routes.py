"""/v1/models/{id}/shadow: a challenger that answers live cases in silence."""

from __future__ import annotations

from flask_openapi import APIBlueprint, Tag

from api.access.guard import caller, needs
from api.access.service import Role
from api.ground.wire import SECURITY, Answer, answer, nothing, refusals
from api.models.schemas import ModelPath
from api.shadows.schemas import ShadowOut
from api.shadows.service import Shadows

TAG = Tag(name="models", description="Trained models and which one serves.")


def blueprint(shadows: Shadows) -> APIBlueprint:
    """The routes over shadows."""
    api = APIBlueprint("shadows", __name__, url_prefix="/v1", abp_tags=[TAG], abp_security=SECURITY)

    @api.get("/models/<id>/shadow", responses={200: ShadowOut})
    @needs(Role.TRAINER)
    def get_shadow(path: ModelPath) -> Answer:
        """How the model does beside the serving one on live cases; hidden from whoever predicts and reviews."""
        return answer(shadows.report(caller(), path.id))

    @api.put("/models/<id>/shadow", responses={200: ShadowOut, **refusals(409)})
    @needs(Role.ADMIN)
    def begin_shadow(path: ModelPath) -> Answer:
        """Let the model answer every live case in silence from now on, in place of any other shadow."""
        return answer(shadows.begin(caller(), path.id))

    @api.delete("/models/<id>/shadow", responses={204: None})
    @needs(Role.ADMIN)
    def end_shadow(path: ModelPath) -> Answer:
        """Let it answer no more; what it said stays in its report."""
        shadows.end(caller(), path.id)
        return nothing()

    return api
