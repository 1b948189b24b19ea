"""The policy of labels: how much of a snapshot one reviewer may teach, who needs a second, how labels are checked."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from clinical_mm.configs import config_folder, load_yaml


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Quota(_Part):
    """How many labels may rest on one reviewer's word alone; a label that two name counts for neither."""

    per_day: int | None = Field(500, ge=1)
    share: float | None = Field(None, gt=0, lt=1)
    share_from_reviewers: int = Field(3, ge=2)


class SecondReader(_Part):
    """Which labels by review teach only once two reviewers' newest words that stand agree on them."""

    needed: Literal["never", "overrides", "always"] = "never"
    confident: float = Field(0.9, gt=0.5, le=1)


class Noise(_Part):
    """Whether labels are held against what notes, vitals and images of the other cases make likely, before a training.

    A reviewer is named whose share of suspicious labels is shown to lie above the others'.
    """

    check: Literal["off", "tell", "leave-out"] = "tell"
    named: Literal["tell", "hold", "end"] = "hold"
    error: float = Field(0.01, gt=0, lt=1)
    margin: float = Field(0.05, ge=0, le=1)
    minimum_labels: int = Field(20, ge=5)


class LabelPolicy(_Part):
    """The whole policy; ``configs/labels.yaml`` tells each value's meaning."""

    quota: Quota = Quota()
    second_reader: SecondReader = SecondReader()
    noise: Noise = Noise()

    @classmethod
    def load(cls, path: Path | None = None) -> LabelPolicy:
        """A policy from YAML; None: the one that comes along. Raises InvalidConfig naming each faulty field."""
        return load_yaml(cls, path or config_folder() / "labels.yaml")
