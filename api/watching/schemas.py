"""Drift as it goes over the wire."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from clinical_mm.watching.drift import Verdict


class WindowQuery(BaseModel):
    """Which cases are `now`: those of the last so many days."""

    model_config = ConfigDict(extra="forbid")
    days: Annotated[int, Field(ge=1, le=3650)] = 30


class BinOut(BaseModel):
    """Share of cases in a part of a feature's values."""

    name: str
    then: float
    now: float


class DriftOut(BaseModel):
    """One feature, as it was where the model learned and as it is in the window.

    ``psi``: population stability index; ``p`` of a two-sample test, corrected over all features.
    """

    feature: str
    then: int
    now: int
    psi: float
    p: float
    verdict: Verdict
    mean_then: float | None
    mean_now: float | None
    bins: list[BinOut]


class WeekOut(BaseModel):
    """Reviews of one week, by its Monday: how many confirmed what the model said. 95 % interval (Wilson)."""

    week: str
    reviews: int
    confirmed: int
    low: float
    high: float


class WatchingOut(BaseModel):
    """What has moved: ``inputs`` beside the model's training cases, ``outputs`` beside its earlier answers."""

    model: str
    days: int
    inputs: list[DriftOut]
    outputs: list[DriftOut]
    agreement: list[WeekOut]
    notes: list[str]
