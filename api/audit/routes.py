"""/v1/audit: the trail (role admin)."""

from __future__ import annotations

from flask_openapi import APIBlueprint, Tag

from api.access.guard import caller, needs
from api.access.service import Role
from api.audit.schemas import AuditPage, AuditQuery
from api.audit.service import Audit
from api.ground.wire import SECURITY, Answer, answer

TAG = Tag(name="audit", description="Who did what to which object.")


def blueprint(audit: Audit) -> APIBlueprint:
    """The routes over the audit service."""
    api = APIBlueprint("audit", __name__, url_prefix="/v1", abp_tags=[TAG], abp_security=SECURITY)

    @api.get("/audit", responses={200: AuditPage})
    @needs(Role.ADMIN)
    def list_audit(query: AuditQuery) -> Answer:
        """Entries of the project, newest first."""
        return answer(audit.list(caller(), query))

    return api
