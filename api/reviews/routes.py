"""/v1/cases/{id}/reviews: a reviewer's word."""

from __future__ import annotations

from flask_openapi import APIBlueprint, Tag

from api.access.guard import caller, needs
from api.access.service import Role
from api.cases.schemas import CasePath
from api.ground.wire import SECURITY, Answer, answer, refusals, told
from api.idempotency.header import IDEMPOTENT, sent_key
from api.reviews.schemas import ReviewIn, ReviewList, ReviewOut, ReviewPath
from api.reviews.service import Reviews

TAG = Tag(name="reviews", description="A reviewer's word; the history stays.")


def blueprint(reviews: Reviews) -> APIBlueprint:
    """The routes over the reviews."""
    api = APIBlueprint("reviews", __name__, url_prefix="/v1", abp_tags=[TAG], abp_security=SECURITY)

    @api.post(
        "/cases/<id>/reviews",
        responses={201: ReviewOut, **refusals(409)},
        openapi_extensions=told(takes=IDEMPOTENT),
    )
    @needs(Role.CLINICIAN)
    def create_review(path: CasePath, body: ReviewIn) -> Answer:
        """Confirm, override, or say unsure; confirm and override set the case's label."""
        return answer(reviews.create(caller(), path.id, body, sent_key(body)), 201)

    @api.get("/cases/<id>/reviews", responses={200: ReviewList})
    @needs(Role.VIEWER)
    def list_reviews(path: CasePath) -> Answer:
        """A case's reviews, newest first."""
        return answer(ReviewList(items=reviews.history(caller(), path.id)))

    @api.post("/reviews/<id>/withdraw", responses={200: ReviewOut, **refusals(409)})
    @needs(Role.CLINICIAN)
    def withdraw_review(path: ReviewPath) -> Answer:
        """Take back one's own review (an admin: anyone's); it stays in the history, the label follows the others."""
        return answer(reviews.withdraw(caller(), path.id))

    return api
