"""Erasures as they go over the wire."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict


def _given(name: str) -> JsonDict:
    return {"required": [name], "properties": {name: {"not": {"type": "null"}}}}


class ErasureIn(BaseModel):
    """Whom to erase: in the body, since a URL ends up in logs."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"oneOf": [_given("patient"), _given("cases")]})
    patient: str | None = Field(None, min_length=1, max_length=200, description="the patient's id, as cases name it")
    cases: list[str] | None = Field(
        None, min_length=1, max_length=10_000, description="ids of cases, as an earlier certificate lists them"
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> ErasureIn:
        if (self.patient is None) == (self.cases is None):
            raise ValueError("name either a patient or cases")
        return self


class ErasedObject(BaseModel):
    """A stored object that is gone."""

    sha256: str
    kind: str
    """file, or heat map."""


class TaughtModel(BaseModel):
    """A model that learned from an erased case: what it learned is in its weights until it is retired."""

    id: str
    serving: bool
    cases: dict[str, str]
    """Case -> the part of the split it was in: train, validation, test or left_out."""


class HoldingBackup(BaseModel):
    """A backup that was made while a case was stored, and of which the service does not know that it is gone."""

    id: str
    name: str
    started_at: datetime


class Erased(BaseModel):
    """What was erased, and what may still carry something of it."""

    cases: list[str]
    rows: dict[str, int]
    """How many of each kind: cases, files, predictions, explanations, reviews, shadow predictions ..."""
    objects: list[ErasedObject]
    shared: list[str]
    """SHA-256 of objects that stay, since a case of someone else holds the very same bytes."""
    models: list[TaughtModel]
    backups: list[HoldingBackup]
    stopped_runs: list[str]
    """Trainings that had a copy and were told to end; it goes when they have."""


class CertificateOut(Erased):
    """A certificate; ``complete`` once the last object is removed and the last run has ended."""

    id: str
    created_at: datetime
    created_by: str
    complete: bool
    waiting_for: list[str]


class CertificatePath(BaseModel):
    """Which certificate."""

    id: str = Field(max_length=80)


class CertificatePage(BaseModel):
    """Certificates, newest first."""

    items: list[CertificateOut]
