"""/v1/predictions: ask the serving model, or a named one."""

from __future__ import annotations

from flask_openapi import APIBlueprint, Tag

from api.access.guard import caller, needs
from api.access.service import Role
from api.audit.call import shows
from api.cases.schemas import CasePath
from api.ground.wire import SECURITY, Answer, answer, told
from api.idempotency.header import IDEMPOTENT, sent_key
from api.predictions.schemas import (
    PredictionIn,
    PredictionList,
    PredictionOut,
    PredictionPath,
    SimilarCases,
    SimilarQuery,
)
from api.predictions.service import Predictions

TAG = Tag(name="predictions", description="What a model says about a case.")


def blueprint(predictions: Predictions) -> APIBlueprint:
    """The routes over the predictions."""
    api = APIBlueprint("predictions", __name__, url_prefix="/v1", abp_tags=[TAG], abp_security=SECURITY)

    @api.post(
        "/cases/<id>/predictions",
        responses={201: PredictionOut},
        openapi_extensions=told(takes=IDEMPOTENT, gives=["Location"]),
    )
    @needs(Role.CLINICIAN)
    def create_prediction(path: CasePath, body: PredictionIn) -> Answer:
        """Predict with the serving model, or with `{"model": id}`."""
        made = predictions.create(caller(), path.id, body.model, sent_key(body))
        return answer(made, 201, {"Location": f"/v1/predictions/{made.id}"})

    @api.get("/cases/<id>/predictions", responses={200: PredictionList})
    @needs(Role.VIEWER)
    def list_predictions(path: CasePath) -> Answer:
        """A case's predictions, newest first."""
        return answer(PredictionList(items=predictions.of_case(caller(), path.id)))

    @api.get("/cases/<id>/similar", responses={200: SimilarCases})
    @needs(Role.VIEWER)
    def list_similar(path: CasePath, query: SimilarQuery) -> Answer:
        """Past cases that the serving model finds most like this one, with their diagnoses."""
        found = predictions.similar(caller(), path.id, query.limit)
        shows(like.case_id for like in found.items)
        return answer(found)

    @api.get("/predictions/<id>", responses={200: PredictionOut})
    @needs(Role.VIEWER)
    def get_prediction(path: PredictionPath) -> Answer:
        """One prediction."""
        return answer(predictions.get(caller(), path.id))

    return api
