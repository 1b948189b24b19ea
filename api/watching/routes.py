"""/v1/watching: what has moved since the serving model learned."""

from __future__ import annotations

from flask_openapi import APIBlueprint, Tag

from api.access.guard import caller, needs
from api.access.service import Role
from api.ground.wire import SECURITY, Answer, answer
from api.watching.schemas import WatchingOut, WindowQuery
from api.watching.service import Watching

TAG = Tag(name="watching", description="Whether cases, answers and reviewers' agreement have moved.")


def blueprint(watching: Watching) -> APIBlueprint:
    """The one route."""
    api = APIBlueprint("watching", __name__, url_prefix="/v1", abp_tags=[TAG], abp_security=SECURITY)

    @api.get("/watching", responses={200: WatchingOut})
    @needs(Role.VIEWER)
    def watch(query: WindowQuery) -> Answer:
        """Inputs of the last days beside the training cases, answers beside earlier ones, agreement by week."""
        return answer(watching.report(caller(), query.days))

    return api
