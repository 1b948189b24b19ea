"""/v1/erasures: erase a patient, and the certificates of it (role admin)."""

from __future__ import annotations

from flask_openapi import APIBlueprint, Tag

from api.access.guard import caller, needs
from api.access.service import Role
from api.erasures.schemas import CertificateOut, CertificatePage, CertificatePath, ErasureIn
from api.erasures.service import Erasures
from api.ground.wire import SECURITY, Answer, answer

TAG = Tag(name="erasures", description="Erase all that is stored of a patient, and certify it.")


def blueprint(erasures: Erasures) -> APIBlueprint:
    """The routes over the erasures."""
    api = APIBlueprint("erasures", __name__, url_prefix="/v1", abp_tags=[TAG], abp_security=SECURITY)

    @api.post("/erasures", responses={201: CertificateOut})
    @needs(Role.ADMIN)
    def erase(body: ErasureIn) -> Answer:
        """Erase a patient's cases with all that came of them, for good; or cases that a backup brought back."""
        made = erasures.erase(caller(), body)
        return answer(made, 201, {"Location": f"/v1/erasures/{made.id}"})

    @api.get("/erasures", responses={200: CertificatePage})
    @needs(Role.ADMIN)
    def list_certificates() -> Answer:
        """Certificates, newest first."""
        return answer(erasures.list(caller()))

    @api.get("/erasures/<id>", responses={200: CertificateOut})
    @needs(Role.ADMIN)
    def get_certificate(path: CertificatePath) -> Answer:
        """One certificate: what was erased, and which models and backups may still carry something of it."""
        return answer(erasures.get(caller(), path.id))

    return api
