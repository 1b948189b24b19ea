"""The rule of watching: what of the figures asks for a new training, and what must be there before it is worth one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from clinical_mm.configs import config_folder, load_yaml


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AgreementAsks(_Part):
    """Reviewers are shown to confirm less than ``below`` of the answers."""

    below: float = Field(0.8, ge=0, le=1)
    weeks: int = Field(4, ge=1, le=520)
    minimum_reviews: int = Field(30, ge=1)


class Asks(_Part):
    """What asks for a training; either is enough."""

    drifted_share: float | None = Field(0.1, gt=0, le=1)
    agreement: AgreementAsks = AgreementAsks()


class Needs(_Part):
    """What must be there too."""

    new_labels: int = Field(50, ge=0)
    days_between: float = Field(14, ge=0)


@dataclass(frozen=True)
class Agreement:
    """Of ``reviews`` so many ``confirmed``; ``low`` to ``high``: 95 % interval of the share."""

    reviews: int
    confirmed: int
    low: float
    high: float

    @classmethod
    def of(cls, confirmed: int, reviews: int) -> Agreement:
        """With its interval. Source: Wilson, 1927."""
        from scipy.stats import binomtest

        if not reviews:
            return cls(0, 0, 0.0, 1.0)
        interval = binomtest(confirmed, reviews).proportion_ci(method="wilson")
        return cls(reviews, confirmed, round(float(interval.low), 4), round(float(interval.high), 4))


@dataclass(frozen=True)
class Figures:
    """What a rule judges by.

    Attributes:
        drifted: how many features have drifted, of ``judged`` that enough cases stand behind.
        new_labels: reviewed labels that no model in question has learned.
        days_since: the newest training; None where there was none.
        run: a training run that waits or runs.
    """

    drifted: int
    judged: int
    agreement: Agreement
    new_labels: int
    days_since: float | None
    run: str | None = None


@dataclass(frozen=True)
class Ruling:
    """What speaks for a training, and what is lacking, each a sentence."""

    reasons: tuple[str, ...]
    lacking: tuple[str, ...]

    @property
    def asks(self) -> bool:
        """Whether a training is asked for now."""
        return bool(self.reasons) and not self.lacking


class Rule(_Part):
    """The whole rule; ``configs/watching.yaml`` tells each value's meaning."""

    days: int = Field(30, ge=1, le=3650)
    every_minutes: float = Field(60, gt=0)
    asks: Asks = Asks()
    needs: Needs = Needs()
    action: Literal["tell", "retrain"] = "tell"
    config: str | None = None

    @classmethod
    def load(cls, path: Path | None = None) -> Rule:
        """A rule from YAML; None: the one that comes along. Raises InvalidConfig naming each faulty field."""
        return load_yaml(cls, path or config_folder() / "watching.yaml")

    def judge(self, figures: Figures) -> Ruling:
        """What the rule says of these figures."""
        return Ruling(tuple(self._reasons(figures)), tuple(self._lacking(figures)))

    def _reasons(self, figures: Figures) -> Iterator[str]:
        share = self.asks.drifted_share
        if share is not None and figures.drifted and figures.drifted >= share * figures.judged:
            yield f"{figures.drifted} of {figures.judged} features have drifted; {share:.0%} are enough"
        wanted, told = self.asks.agreement, figures.agreement
        if told.reviews >= wanted.minimum_reviews and told.high < wanted.below:
            confirmed = (
                f"{told.confirmed / told.reviews:.0%} of {told.reviews} answers [{told.low:.0%} to {told.high:.0%}]"
            )
            yield f"reviewers confirmed {confirmed} in {wanted.weeks} weeks: below {wanted.below:.0%}"

    def _lacking(self, figures: Figures) -> Iterator[str]:
        if figures.run is not None:
            yield f"a training run is under way: {figures.run}"
        if figures.new_labels < self.needs.new_labels:
            yield f"{figures.new_labels} of {self.needs.new_labels} new reviewed labels are there"
        if figures.days_since is not None and figures.days_since < self.needs.days_between:
            yield f"the newest training was {figures.days_since:.1f} days ago, of at least {self.needs.days_between:g}"
