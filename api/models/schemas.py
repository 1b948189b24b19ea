"""Models as they go over the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field


class ModelOut(BaseModel):
    """A trained model; ``headline`` is its main metric in words."""

    id: str
    config: str
    serving: bool
    headline: str
    created_at: datetime
    run_id: str | None
    snapshot_sha256: str
    weights_sha256: str
    diagnoses: list[str]
    metrics: dict[str, Any]
    card: dict[str, Any]


class ModelList(BaseModel):
    """Models, newest first."""

    items: list[ModelOut]


class EvaluationReport(BaseModel):
    """The evaluation of a model on the cases that neither taught nor chose it."""

    model: str
    report: dict[str, Any]


class ModelPath(BaseModel):
    """Which model."""

    id: Annotated[str, Field(max_length=80)]


class PromotionOut(BaseModel):
    """How a model came to serve: ``first`` of its project, ``promote`` by a person, ``policy``, or ``rollback``."""

    model_config = ConfigDict(from_attributes=True)
    kind: str
    actor: str
    at: datetime
    reason: str | None


class UsedCaseOut(BaseModel):
    """A case of a model's snapshot.

    ``part``: train, validation, test or left_out; ``diagnoses`` then, ``diagnoses_now``; ``stored``: not erased since.
    ``content_sha256``: of what the model was shown. ``label_from``: the reviews that named the label then; empty where
    it was as sent.
    """

    case_id: str
    part: str
    diagnoses: list[str] | None
    label_from: list[str]
    stored: bool
    diagnoses_now: list[str] | None
    content_sha256: str


class UsedCases(BaseModel):
    """A page of a model's cases; ``cases`` in all, of which ``gone`` have been erased since."""

    model: str
    manifest_sha256: str
    cases: int
    gone: int
    items: list[UsedCaseOut]
    next_cursor: str | None


class UsedCasesQuery(BaseModel):
    """Which page."""

    model_config = ConfigDict(extra="forbid")
    limit: Annotated[int, Field(ge=1, le=500)] = 100
    cursor: Annotated[str | None, Field(max_length=20)] = None
