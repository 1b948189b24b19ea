"""Reviews as they go over the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from clinical_mm.importing.case_json import Note

Verdict = Literal["confirm", "override", "unsure"]


class ReviewIn(BaseModel):
    """A reviewer's word.

    ``diagnoses`` is required for override; for confirm it defaults to what the model holds probable; for unsure none.
    ``before_model``, in a project that reads first: an override or unsure written before the model's answer was shown;
    it names no prediction and sets no label.
    """

    model_config = ConfigDict(extra="forbid")
    prediction: Annotated[str | None, Field(max_length=80)] = None
    verdict: Verdict
    diagnoses: Annotated[list[str] | None, Field(max_length=100)] = None
    comment: Note | None = None
    before_model: StrictBool = False


class ReviewOut(BaseModel):
    """Who said what about which prediction, and when."""

    model_config = ConfigDict(from_attributes=True)
    id: str
    case_id: str
    prediction_id: str | None
    verdict: Verdict
    diagnoses: list[str] | None
    comment: str | None
    reviewer: str
    created_at: datetime
    case_version: int
    before_model: bool
    withdrawn_at: datetime | None
    withdrawn_by: str | None


class ReviewList(BaseModel):
    """Reviews, newest first."""

    items: list[ReviewOut]


class ReviewPath(BaseModel):
    """Which review."""

    id: Annotated[str, Field(max_length=80)]
