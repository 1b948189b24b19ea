"""/v1/explanations: why a model said it."""

from __future__ import annotations

from flask_openapi import APIBlueprint, Tag

from api.access.guard import caller, needs
from api.access.service import Role
from api.explanations.schemas import (
    ExplanationIn,
    ExplanationList,
    ExplanationOut,
    ExplanationPath,
    HeatMapPath,
    HeatMapQuery,
)
from api.explanations.service import Explanations
from api.ground.wire import SECURITY, Answer, answer, binary, media, refusals, told
from api.idempotency.header import IDEMPOTENT, sent_key
from api.predictions.schemas import PredictionPath

TAG = Tag(name="explanations", description="Why a model said it: pixels, words, values.")


def blueprint(explanations: Explanations) -> APIBlueprint:
    """The routes over the explanations."""
    api = APIBlueprint("explanations", __name__, url_prefix="/v1", abp_tags=[TAG], abp_security=SECURITY)

    @api.post(
        "/predictions/<id>/explanations",
        responses={201: ExplanationOut, **refusals(409)},
        openapi_extensions=told(takes=IDEMPOTENT, gives=["Location"]),
    )
    @needs(Role.CLINICIAN)
    def create_explanation(path: PredictionPath, body: ExplanationIn) -> Answer:
        """Explain the most probable diagnosis, or `target`."""
        made = explanations.create(caller(), path.id, body, sent_key(body))
        return answer(made, 201, {"Location": f"/v1/explanations/{made.id}"})

    @api.get("/predictions/<id>/explanations", responses={200: ExplanationList})
    @needs(Role.VIEWER)
    def list_explanations(path: PredictionPath) -> Answer:
        """A prediction's explanations, newest first."""
        return answer(ExplanationList(items=explanations.of_prediction(caller(), path.id)))

    @api.get("/explanations/<id>", responses={200: ExplanationOut})
    @needs(Role.VIEWER)
    def get_explanation(path: ExplanationPath) -> Answer:
        """One explanation."""
        return answer(explanations.get(caller(), path.id))

    @api.get("/explanations/<id>/images/<n>.png", responses={200: media("image/png")})
    @needs(Role.VIEWER)
    def get_heat_map(path: HeatMapPath, query: HeatMapQuery) -> Answer:
        """The heat map over the preview of its frame; `overlay=only` gives it alone, with transparency."""
        png = explanations.image(caller(), path.id, path.n, overlay_only=query.overlay == "only")
        return binary(png, "image/png", {"Cache-Control": "private, max-age=86400"})

    return api
