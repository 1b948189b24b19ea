"""Models as they go over the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field


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
