"""/v1/cases/{id}/golden: the cases that judge every model, and that no review changes."""

from __future__ import annotations

from flask_openapi import APIBlueprint, Tag

from api.access.guard import caller, needs
from api.access.service import Role
from api.cases.schemas import CaseOut, CasePath
from api.ground.wire import SECURITY, Answer, answer, nothing
from api.reviews.golden import GoldenSet

TAG = Tag(name="golden set", description="Cases with a locked label: they judge models and never teach one.")


def blueprint(golden: GoldenSet) -> APIBlueprint:
    """The routes over the golden set."""
    api = APIBlueprint("golden", __name__, url_prefix="/v1", abp_tags=[TAG], abp_security=SECURITY)

    @api.put("/cases/<id>/golden", responses={200: CaseOut})
    @needs(Role.ADMIN)
    def add_golden(path: CasePath) -> Answer:
        """Lock the case's label; a case without one is a 409. `GET /v1/cases?golden=true` lists the set."""
        return answer(golden.add(caller(), path.id))

    @api.delete("/cases/<id>/golden", responses={204: None})
    @needs(Role.ADMIN)
    def remove_golden(path: CasePath) -> Answer:
        """Let the label follow from the reviews again."""
        golden.remove(caller(), path.id)
        return nothing()

    return api
