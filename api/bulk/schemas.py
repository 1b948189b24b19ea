"""Bulk runs as they go over the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.cases.schemas import Review, SentConditions
from api.problems import PointedError

State = Literal["queued", "running", "succeeded", "failed", "cancelled"]
Outcome = Literal["accepted", "present", "refused", "predicted", "failed"]


class WhichCases(SentConditions):
    """Which cases; all conditions hold at once, none = every case."""

    review: Annotated[Review | None, Field(description="how far its review is")] = None


class PredictionRunIn(BaseModel):
    """Which stored cases to predict, with which model; absent = every case, the model that serves now."""

    model_config = ConfigDict(extra="forbid")
    filter: WhichCases = WhichCases()
    model: Annotated[str | None, Field(max_length=80)] = None


class BulkProgressOut(BaseModel):
    """How far a run is: lines done of how many, and how many of each outcome."""

    fraction: float
    done: int
    total: int
    counts: dict[Outcome, int]
    eta_s: float | None


class BulkRunOut(BaseModel):
    """A bulk run and where it stands."""

    id: str
    state: State
    progress: BulkProgressOut | None
    error: str | None
    created_at: datetime
    created_by: str
    started_at: datetime | None
    finished_at: datetime | None


class PredictionRunOut(BulkRunOut):
    """The same, with what was asked for."""

    filter: WhichCases
    model: str


class CaseImportList(BaseModel):
    """Imports, newest first."""

    items: list[BulkRunOut]


class PredictionRunList(BaseModel):
    """Runs, newest first."""

    items: list[PredictionRunOut]


class ResultOut(BaseModel):
    """What came of a line.

    ``accepted``: stored now; ``present``: a case of this external_id was stored before, and is left as it is;
    ``refused``: wrong, with every fault in ``errors``. ``predicted``, or ``failed`` with a ``reason``. null = not yet.
    """

    line: int
    outcome: Outcome | None
    case_id: str | None
    prediction_id: str | None
    reason: str | None
    errors: list[PointedError]


class ResultPage(BaseModel):
    """Lines in their order."""

    items: list[ResultOut]
    next_cursor: str | None


class ResultQuery(BaseModel):
    """Which lines."""

    model_config = ConfigDict(extra="forbid")
    outcome: Outcome | None = None
    cursor: Annotated[int | None, Field(ge=0, le=2**31 - 1, description="`next_cursor` of the page before")] = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 200


class BulkRunPath(BaseModel):
    """Which run."""

    id: Annotated[str, Field(max_length=80)]
