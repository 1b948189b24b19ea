"""Training runs as they go over the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.cases.schemas import SentFilter
from api.reviews.adjudication import Rule

State = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class TrainingRunIn(BaseModel):
    """What to train on what. ``set`` changes single values of the configuration: ``{"training.epochs": 5}``.

    ``labels``: which label teaches where reviewers disagree: the ``newest``, what the ``majority`` says (without one
    the case is left out), or ``leave-out``.
    """

    model_config = ConfigDict(extra="forbid")
    config: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,60}$", description="a name under configs/models")] = (
        "default"
    )
    set: Annotated[dict[str, Any], Field(max_length=50)] = Field(default_factory=dict)
    filter: SentFilter = SentFilter()
    labels: Rule = "newest"
    start_from: Annotated[
        str | None, Field(max_length=40, description="id of a model whose weights to start from, as far as they fit")
    ] = None


class ProgressOut(BaseModel):
    """How far a run is; ``fraction`` is of the whole."""

    stage: str
    fraction: float
    epoch: int
    epochs: int
    metrics: dict[str, float]
    eta_s: float | None


class TrainingRunOut(BaseModel):
    """A run and where it stands."""

    id: str
    config: str
    set: dict[str, Any]
    filter: dict[str, Any]
    labels: Rule
    label_report: Annotated[
        dict[str, Any] | None,
        Field(description="what the label policy left out (`report`), and suspicious labels by reviewer (`noise`)"),
    ]
    start_from: str | None
    state: State
    progress: ProgressOut | None
    error: str | None
    model: str | None
    created_at: datetime
    created_by: str
    started_at: datetime | None
    finished_at: datetime | None


class TrainingRunList(BaseModel):
    """Runs, newest first."""

    items: list[TrainingRunOut]


class TrainingRunPath(BaseModel):
    """Which run."""

    id: Annotated[str, Field(max_length=80)]
