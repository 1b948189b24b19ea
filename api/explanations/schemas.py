"""Explanations as they go over the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class ExplanationIn(BaseModel):
    """What to explain, and how; absent = the most probable diagnosis, by the model's default method.

    ``baselines``: modality -> name of the inputs that stand for nothing, such as {"imaging": "blurred"}.
    """

    model_config = ConfigDict(extra="forbid")
    target: Annotated[str | None, Field(max_length=64)] = None
    methods: Annotated[list[Annotated[str, Field(max_length=64)]] | None, Field(min_length=1, max_length=1)] = None
    baselines: Annotated[
        dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=64)]] | None, Field(max_length=16)
    ] = None


class ContributionOut(BaseModel):
    """What a modality adds, on the scale of the explanation; ``presence`` of it by being there at all."""

    name: str
    contribution: float
    presence: float = 0.0


class SpanOut(BaseModel):
    """Attribution of the characters [start, end) of the note."""

    start: int
    end: int
    text: str
    attribution: float


class PhraseOut(SpanOut):
    """Words as a reader reads them, the sum of what they add, and how the note tells of them.

    ``other``: of somebody else than the patient.
    """

    context: Literal["affirmed", "negated", "uncertain", "other"]


class VitalOut(BaseModel):
    """Attribution of one vital, its value in the catalogue's unit."""

    name: str
    value: float
    unit: str
    attribution: float


class HeatMapOut(BaseModel):
    """Where the heat map of one frame is, and its peak (x, y) in stored pixels."""

    file: int
    frame: int
    heatmap: str
    peak: tuple[int, int]


class ChangeOut(BaseModel):
    """One value that would be another, in the catalogue's unit; ``to`` null: a modality that would not be there."""

    name: str
    value: float | None
    to: float | None
    unit: str


class CounterfactualOut(BaseModel):
    """What the target's probability would be after some changes."""

    changes: list[ChangeOut]
    probability: float
    probability_after: float


class ExplanationOut(BaseModel):
    """An additive account: contributions sum to value minus baseline_value, exactly.

    What pixels, words and values earn and ``presence`` sum to each contribution, up to the completeness error.
    """

    id: str
    prediction_id: str
    case_id: str
    target: str
    method: str
    scale: str
    baseline_value: float
    value: float
    completeness_error: float
    modalities: list[ContributionOut]
    text: list[SpanOut]
    phrases: list[PhraseOut] = []
    vitals: list[VitalOut]
    images: list[HeatMapOut]
    baselines: dict[str, str] = {}
    counterfactuals: list[CounterfactualOut] = []
    created_at: datetime


class MethodOut(BaseModel):
    """A way to explain that is offered for a model."""

    name: str
    display: str


class ExplanationList(BaseModel):
    """Explanations, newest first."""

    items: list[ExplanationOut]


class ExplanationPath(BaseModel):
    """Which explanation."""

    id: Annotated[str, Field(max_length=80)]


class HeatMapPath(ExplanationPath):
    """Which heat map of it."""

    n: Annotated[int, Field(ge=0)]


class HeatMapQuery(BaseModel):
    """The heat map over the preview, or alone with transparency."""

    model_config = ConfigDict(extra="forbid")
    overlay: Literal["only"] | None = None
