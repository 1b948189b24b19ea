"""/v1/keys: make, list, revoke (role admin)."""

from __future__ import annotations

from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel

from api.access.guard import caller, needs
from api.access.schemas import ApiKeyIn, ApiKeyList, ApiKeyMade
from api.access.service import Access, Role
from api.ground.wire import SECURITY, Answer, answer, nothing

TAG = Tag(name="keys", description="API keys of the project.")


class KeyPath(BaseModel):
    """Which key."""

    id: str


def blueprint(access: Access) -> APIBlueprint:
    """The routes over the access service."""
    api = APIBlueprint("keys", __name__, url_prefix="/v1", abp_tags=[TAG], abp_security=SECURITY)

    @api.post("/keys", responses={201: ApiKeyMade})
    @needs(Role.ADMIN)
    def create_key(body: ApiKeyIn) -> Answer:
        """Make a key; the answer holds its secret, which is shown only now."""
        key, secret = access.create_key(caller(), Role(body.role), body.name, body.expires_at)
        return answer(ApiKeyMade(**key.model_dump(), secret=secret), 201)

    @api.get("/keys", responses={200: ApiKeyList})
    @needs(Role.ADMIN)
    def list_keys() -> Answer:
        """The project's keys, newest first."""
        return answer(ApiKeyList(items=access.list_keys(caller())))

    @api.delete("/keys/<id>", responses={204: None})
    @needs(Role.ADMIN)
    def revoke_key(path: KeyPath) -> Answer:
        """End a key now."""
        access.revoke(caller(), path.id)
        return nothing()

    return api
