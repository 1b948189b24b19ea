"""Drift as it goes over the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from clinical_mm.watching.drift import Verdict

Kind = Literal["input", "image", "strangeness", "answer"]
"""What a feature is of: what was sent, an image's pixels, the distance from the training cases, what was answered."""


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


class AgreementOut(BaseModel):
    """The same over the weeks that the rule looks at."""

    model_config = ConfigDict(from_attributes=True)
    reviews: int
    confirmed: int
    low: float
    high: float


class RulingOut(BaseModel):
    """What the rule said when a worker last looked.

    ``asks``: the model asks to be trained again: there are ``reasons`` and nothing is ``lacking``. ``run``: what was
    queued for it. ``new_labels``: reviewed labels that neither the serving nor the newest model has learned.
    """

    at: datetime
    model: str
    action: Literal["tell", "retrain"]
    asks: bool
    reasons: list[str]
    lacking: list[str]
    drifted: int
    judged: int
    agreement: AgreementOut
    new_labels: int
    days_since_training: float | None
    run: str | None


class FeatureFigure(BaseModel):
    """One feature as the gauges tell it."""

    kind: Kind
    feature: str
    psi: float
    verdict: Verdict


class Look(BaseModel):
    """All that a worker keeps of a look."""

    ruling: RulingOut
    features: list[FeatureFigure]


class WatchingOut(BaseModel):
    """What has moved.

    ``inputs`` and ``images`` beside the model's training cases, ``strangeness`` (how far from the training cases each
    modality lies in the model's own space) beside the cases held back in training, ``outputs`` beside its earlier
    answers. ``ruling``: null until a worker has looked at the model that serves.
    """

    model: str
    days: int
    inputs: list[DriftOut]
    images: list[DriftOut]
    strangeness: list[DriftOut]
    outputs: list[DriftOut]
    agreement: list[WeekOut]
    ruling: RulingOut | None
    notes: list[str]
