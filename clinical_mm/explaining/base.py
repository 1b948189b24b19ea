"""The protocol of an explainer: a question -> an additive account, one modality at a time.

A new explainer is one file with a subclass of ``Additive``, and one line in this folder's registry.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from torch import Tensor

from clinical_mm.answers import Contribution, Explanation
from clinical_mm.explaining.marginal import Marginal, marginals
from clinical_mm.explaining.question import Question
from clinical_mm.modalities.base import Evidence, one_span_a_word

if TYPE_CHECKING:
    from clinical_mm.predictor import Predictor

T = TypeVar("T")

SMALLEST_DIFFERENCE = 0.1
"""Log-odds; the error is relative to at least this, so that a case that moves nothing has no infinite error."""


@dataclass(frozen=True)
class Attributions:
    """``values`` in the shape of ``Encoder.inputs``, and the part of the share that is for being there at all."""

    values: Tensor
    presence: float = 0.0


class Explainer(ABC):
    """One way to tell why."""

    name: str
    """As asked for over REST."""
    display: str
    """As people read it in a list of methods."""

    def applies(self, predictor: Predictor) -> bool:
        """Whether it can say anything of such a model."""
        return True

    @abstractmethod
    def explain(self, question: Question) -> Explanation:
        """The account of the question's target."""


class Additive(Explainer):
    """One that attributes each modality's marginal to the modality's own inputs."""

    @abstractmethod
    def attribute(self, marginal: Marginal) -> Attributions:
        """Attributions that, with the presence, sum to ``marginal.share`` up to the method's error."""

    def explain(self, question: Question) -> Explanation:
        """Every modality's attributions on one scale; the error is of all modalities together."""
        asked = {marginal.name: marginal for marginal in marginals(question)}
        found = {name: self.attribute(marginal) for name, marginal in asked.items()}
        parts = [
            marginal.modality.evidence(question.case, marginal.batch, found[name].values.detach())
            for name, marginal in asked.items()
        ]
        missed = sum(abs(missing(marginal, found[name])) for name, marginal in asked.items())
        return Explanation(
            target=question.target,
            method=self.name,
            baseline_value=question.prior,
            value=question.value,
            completeness_error=missed / scale(question),
            contributions=contributions(question, {name: part.presence for name, part in found.items()}),
            baselines={name: marginal.baseline_name for name, marginal in asked.items()},
            text=one_span_a_word(_joined(parts, lambda e: e.text)),
            vitals=_joined(parts, lambda e: e.vitals),
            images=_joined(parts, lambda e: e.images),
        )


def contributions(question: Question, presence: dict[str, float]) -> tuple[Contribution, ...]:
    """Shapley shares of all the model's modalities, 0 for those that are absent."""
    shares = question.shares()
    names = question.predictor.modalities
    return tuple(Contribution(n, shares.get(n, 0.0), presence.get(n, 0.0)) for n in names)


def missing(marginal: Marginal, found: Attributions) -> float:
    """What the attributions leave of a modality's share, in log-odds."""
    return marginal.share - found.presence - float(found.values.sum())


def scale(question: Question) -> float:
    """What errors are relative to: how far the case moves the log-odds."""
    return max(abs(question.value - question.prior), SMALLEST_DIFFERENCE)


def _joined(parts: list[Evidence], take: Callable[[Evidence], tuple[T, ...]]) -> tuple[T, ...]:
    return tuple(item for part in parts for item in take(part))
