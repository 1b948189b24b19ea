"""/v1/catalogue: the vitals and diagnoses in force."""

from __future__ import annotations

from flask_openapi import APIBlueprint, Tag

from api.access.guard import needs
from api.access.service import Role
from api.ground.wire import SECURITY, Answer, answer
from clinical_mm.catalogue import Catalogue

TAG = Tag(name="catalogue", description="Vitals, laboratory values and diagnoses: codes, units, ranges.")


def blueprint(catalogue: Catalogue) -> APIBlueprint:
    """The route over the catalogue."""
    api = APIBlueprint("catalogue", __name__, url_prefix="/v1", abp_tags=[TAG], abp_security=SECURITY)

    @api.get("/catalogue", responses={200: Catalogue})
    @needs(Role.VIEWER)
    def get_catalogue() -> Answer:
        """The vitals (LOINC, UCUM, ranges) and diagnoses (SNOMED CT, ICD-10) in force."""
        return answer(catalogue)

    return api
