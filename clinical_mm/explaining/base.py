"""The protocol of an explainer: a model, a case, a target -> an additive account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from clinical_mm.answers import Explanation
from clinical_mm.case import Case

if TYPE_CHECKING:
    from clinical_mm.predictor import Predictor


class Explainer(Protocol):
    """One way to tell why."""

    def explain(self, predictor: Predictor, case: Case, target: str) -> Explanation:
        """The account of ``target``, one of the model's diagnoses, for one case."""
        ...
