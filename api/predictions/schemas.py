"""Predictions as they go over the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class PredictionIn(BaseModel):
    """Which model to ask; absent = the one that serves."""

    model_config = ConfigDict(extra="forbid")
    model: Annotated[str | None, Field(max_length=80)] = None


class DiagnosisOut(BaseModel):
    """A diagnosis and its calibrated probability."""

    code: str
    display: str
    probability: float


class PredictionSetOut(BaseModel):
    """Diagnoses that cannot be ruled out: the true ones are among them in a share ``coverage`` of cases."""

    coverage: float
    codes: list[str]


class ModalityOut(BaseModel):
    """A modality's attention weight; 0 where the case does not have it.

    ``strangeness``: how far it lies from the training cases: 0 = as far as half of those held back in training, 1 = a
    robust standard deviation further; null where the model cannot tell.
    """

    name: str
    present: bool
    weight: float
    strangeness: float | None = None


class WarningOut(BaseModel):
    """What a reader must know before trusting the answer."""

    code: str
    detail: str


class InformationOut(BaseModel):
    """What a label of the case would teach the model: ``score``, the mean of the others; each 0 to 1."""

    score: float
    uncertainty: float
    disagreement: float
    novelty: float


class PredictionOut(BaseModel):
    """What a model said about a case."""

    id: str
    case_id: str
    case_version: int
    model: str
    created_at: datetime
    created_by: str
    diagnoses: list[DiagnosisOut]
    prediction_set: PredictionSetOut
    modalities: list[ModalityOut]
    warnings: list[WarningOut]
    abstained: bool
    information: Annotated[
        InformationOut | None, Field(description="null = made before it was told, or the model keeps no cases")
    ] = None


class PredictionList(BaseModel):
    """Predictions, newest first."""

    items: list[PredictionOut]


class SimilarCaseOut(BaseModel):
    """A stored case that the model finds alike: cosine similarity in its space, -1 to 1, and its diagnoses."""

    case_id: str
    similarity: float
    diagnoses: list[str] | None


class SimilarCases(BaseModel):
    """Closest first; among the cases that ``model`` was trained and judged on and that are still stored."""

    model: str
    items: list[SimilarCaseOut]


class SimilarQuery(BaseModel):
    """How many."""

    model_config = ConfigDict(extra="forbid")
    limit: Annotated[int, Field(ge=1, le=50)] = 5


class PredictionPath(BaseModel):
    """Which prediction."""

    id: Annotated[str, Field(max_length=80)]
