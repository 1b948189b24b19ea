"""A shadow as it goes over the wire."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class EstimateOut(BaseModel):
    """A number with its 95 % interval; null where it is not defined."""

    value: float | None
    low: float | None
    high: float | None


class DistanceOut(BaseModel):
    """How far apart the two are on one diagnosis: mean |shadow - serving|, mean shadow - serving, Pearson's r.

    ``joint``: cases by the serving model's probability in tenths (rows) and the shadow's (columns).
    """

    code: str
    mean_absolute: float | None
    shift: float | None
    correlation: float | None
    joint: list[list[int]]


class ApartOut(BaseModel):
    """A case on which the two differ much: on which diagnosis, and what each says."""

    case: str
    code: str
    champion: float
    challenger: float


class GainOut(BaseModel):
    """A metric of both; ``difference`` is the shadow's minus the serving model's, paired."""

    model_config = ConfigDict(extra="ignore")
    champion: EstimateOut
    challenger: EstimateOut
    difference: EstimateOut


class JudgedOut(BaseModel):
    """Both by the labels of reviewers: ``gains`` of ``macro_auroc`` (higher is better) and ``log_loss`` (lower is).

    Intervals: paired bootstrap by patient.
    """

    cases: int
    patients: int
    resamples: int
    seed: int
    gains: dict[str, GainOut]


class ShadowOut(BaseModel):
    """A model beside the serving one, ``champion``, on live cases.

    Answers of the serving model since the shadow began: ``scored``; ``waiting`` for their score; ``failed``, by kind of
    error in ``failures``; ``missed`` will never be scored: the case was changed first, or they are too far back.
    ``fault``: why it cannot score at present. What follows ``cases`` is about the newest answer to each of so many;
    ``learned``: labelled cases that do not judge, since one of the two has learned from their patients.
    """

    model: str
    champion: str
    in_force: bool
    since: datetime
    created_by: str
    ended_at: datetime | None
    scored: int
    waiting: int
    failed: int
    failures: dict[str, int]
    missed: int
    fault: str | None
    cases: int
    agreement: EstimateOut
    diagnoses: list[DistanceOut]
    most_apart: list[ApartOut]
    judged: JudgedOut | None
    learned: int
    notes: list[str]
