"""Comparisons and promotions as they go over the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class DecisionOut(BaseModel):
    """What the policy said of a model beside the one that served, ``champion``.

    ``result``: ``reasons`` in sentences, the ``policy`` as it was, ``gain`` of its metric (both models, the paired
    difference with its interval, the smallest gain that so many cases could show), each of the ``checks``, and the
    ``reliability`` of ``champion`` and ``challenger``: claims by tenths beside what came true.
    """

    id: str
    model: str
    champion: str
    run_id: str | None
    outcome: Literal["promote", "hold", "reject"]
    reasons: list[str]
    created_at: datetime
    created_by: str
    result: dict[str, Any]


class PromotionIn(BaseModel):
    """Why; needed where the comparison rejected the model, kept in any case."""

    model_config = ConfigDict(extra="forbid")
    reason: Annotated[str | None, Field(max_length=1000)] = None
