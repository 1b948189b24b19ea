"""/v1/training-runs: start, watch, cancel."""

from __future__ import annotations

from flask import Response
from flask_openapi import APIBlueprint, Tag

from api.access.guard import caller, needs
from api.access.service import Role
from api.ground.wire import SECURITY, Answer, answer, refusals, told
from api.idempotency.header import IDEMPOTENT, sent_key
from api.training.schemas import TrainingRunIn, TrainingRunList, TrainingRunOut, TrainingRunPath
from api.training.service import Training
from api.training.watching import events, log_tail

TAG = Tag(name="training", description="Retraining from stored cases, as a durable job.")


def blueprint(training: Training) -> APIBlueprint:
    """The routes over the training runs."""
    api = APIBlueprint("training", __name__, url_prefix="/v1", abp_tags=[TAG], abp_security=SECURITY)

    @api.post(
        "/training-runs",
        responses={202: TrainingRunOut},
        openapi_extensions=told(takes=IDEMPOTENT, gives=["Location"]),
    )
    @needs(Role.TRAINER)
    def start_training(body: TrainingRunIn) -> Answer:
        """Queue a run over the labelled cases that `filter` chooses."""
        run = training.start(caller(), body, sent_key(body))
        return answer(run, 202, {"Location": f"/v1/training-runs/{run.id}"})

    @api.get("/training-runs", responses={200: TrainingRunList})
    @needs(Role.VIEWER)
    def list_training() -> Answer:
        """The newest runs."""
        return answer(TrainingRunList(items=training.list(caller())))

    @api.get("/training-runs/<id>", responses={200: TrainingRunOut})
    @needs(Role.VIEWER)
    def get_training(path: TrainingRunPath) -> Answer:
        """One run: its state and how far it is."""
        return answer(training.get(caller(), path.id))

    @api.get("/training-runs/<id>/events", responses={200: {"content": {"text/event-stream": {}}}})
    @needs(Role.VIEWER)
    def watch_training(path: TrainingRunPath) -> Response:
        """The run as server-sent events: one `run` event at once and at each change, until it has ended."""
        return Response(events(training, caller(), path.id), mimetype="text/event-stream")

    @api.get("/training-runs/<id>/log", responses={200: {"content": {"text/plain": {}}}})
    @needs(Role.TRAINER)
    def read_log(path: TrainingRunPath) -> Response:
        """The last lines of the run's log."""
        return Response(log_tail(training, caller(), path.id), mimetype="text/plain")

    @api.post("/training-runs/<id>/cancel", responses={202: TrainingRunOut, **refusals(409)})
    @needs(Role.TRAINER)
    def cancel_training(path: TrainingRunPath) -> Answer:
        """Stop a run: a queued one at once, a running one within two seconds."""
        return answer(training.cancel(caller(), path.id), 202)

    return api
