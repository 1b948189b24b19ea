"""/v1/project: the project of the key, how its cases are read, what is done with who they are about."""

from __future__ import annotations

from flask_openapi import APIBlueprint, Tag

from api.access.guard import caller, needs
from api.access.projects import Projects
from api.access.schemas import ProjectChange, ProjectOut
from api.access.service import Role
from api.ground.wire import SECURITY, Answer, answer

TAG = Tag(name="project", description="The project that a key opens.")


def blueprint(projects: Projects) -> APIBlueprint:
    """The routes over the projects."""
    api = APIBlueprint("project", __name__, url_prefix="/v1", abp_tags=[TAG], abp_security=SECURITY)

    @api.get("/project", responses={200: ProjectOut})
    @needs(Role.VIEWER)
    def get_project() -> Answer:
        """The project of this key."""
        return answer(projects.own(caller()))

    @api.patch("/project", responses={200: ProjectOut})
    @needs(Role.ADMIN)
    def change_project(body: ProjectChange) -> Answer:
        """How cases are read, and what is done with who they are about.

        `read_first`: the pages show a model's answer only after the reader's own verdict; this API always does.
        `deidentify`: what is done with identity in cases that come from now on; stored ones stay as they are.
        """
        return answer(projects.change(caller(), body))

    return api
