"""The policy of promotion: what better and worse mean, what must not be lost, what follows.

Its shape is that of a predetermined change control plan: which change, how it is judged, what comes of it.
Source: FDA, Marketing Submission Recommendations for a Predetermined Change Control Plan for Artificial
Intelligence-Enabled Device Software Functions, 2024.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from clinical_mm.configs import config_folder, load_yaml


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GroupGuard(_Part):
    """No group of patients may be shown to lose more than ``margin`` of the metric."""

    minimum_cases: int = Field(20, ge=2)
    margin: float = Field(0.05, ge=0, le=1)


class SensitivityGuard(_Part):
    """No diagnosis may be shown to lose more than ``margin`` of its sensitivity, nor fall below ``floor``."""

    minimum_cases: int = Field(10, ge=1)
    margin: float = Field(0.1, ge=0, le=1)
    floor: float = Field(0.0, ge=0, le=1)


class CalibrationGuard(_Part):
    """Probabilities must go on meaning what they say."""

    brier_margin: float = Field(0.005, ge=0, le=1)
    error_margin: float = Field(0.03, ge=0, le=1)


class GoldenGuard(_Part):
    """Cases with a locked label: where there are at least so many, the policy's metric is taken on them alone.

    The labels of the rest follow from reviews, and so may be wrong in the way in which the challenger is.
    ``margin`` then is what worse means.
    """

    minimum_cases: int = Field(50, ge=2)
    margin: float = Field(0.02, ge=0, le=1)


class Guardrails(_Part):
    """What must not be lost, whatever the metric gains."""

    groups: GroupGuard = GroupGuard()
    sensitivity: SensitivityGuard = SensitivityGuard()
    calibration: CalibrationGuard = CalibrationGuard()
    explanations: bool = True
    golden: GoldenGuard = GoldenGuard()


class Outcomes(_Part):
    """What follows; a model that is worse, or breaks a guardrail, is always rejected."""

    better: Literal["promote", "hold"] = "hold"
    cannot_tell: Literal["hold", "reject"] = "hold"


class Policy(_Part):
    """The whole plan; ``configs/promotion.yaml`` tells each value's meaning."""

    metric: Literal["macro_auroc", "macro_auprc"] = "macro_auroc"
    gain: float = Field(0.0, ge=0, le=1)
    margin: float = Field(0.02, ge=0, le=1)
    minimum_cases: int = Field(50, ge=2)
    guardrails: Guardrails = Guardrails()
    outcomes: Outcomes = Outcomes()

    @classmethod
    def load(cls, path: Path | None = None) -> Policy:
        """A policy from YAML; None: the one that comes along. Raises InvalidConfig naming each faulty field."""
        return load_yaml(cls, path or config_folder() / "promotion.yaml")
