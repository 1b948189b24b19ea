"""What an evaluation looks at: cases, what is true of them, what the model says with each choice of modalities.

Shapes: N cases, K diagnoses, M modalities.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from clinical_mm.case import Case
from clinical_mm.evaluation.calibration import Calibration, targets_of
from clinical_mm.evaluation.groups import Groups, groups_of
from clinical_mm.evaluation.metrics import Bootstrap

if TYPE_CHECKING:
    from clinical_mm.predictor import Predictor

Subset = tuple[str, ...]
MOST_MODALITIES = 4
"""With more, only all but one of them and each alone are looked at: 2^M grows quickly."""


@dataclass(frozen=True)
class Judged:
    """Labelled cases and a model's word on them.

    Attributes:
        targets: ``float[N, K]`` in 0/1.
        present: ``bool[N, M]``.
        logits_with: modalities -> ``float[N, K]`` where only these are let in; rows of cases without any of them are
            of no use.
    """

    cases: Sequence[Case]
    diagnoses: Sequence[str]
    modalities: Sequence[str]
    targets: np.ndarray
    present: np.ndarray
    calibration: Calibration
    logits_with: Callable[[Subset], np.ndarray]

    @classmethod
    def by(cls, predictor: Predictor, cases: Sequence[Case]) -> Judged:
        """A model's word on labelled cases."""
        samples = [predictor.read(case) for case in cases]
        return cls(
            cases=cases,
            diagnoses=predictor.diagnoses,
            modalities=tuple(predictor.modalities),
            targets=targets_of([case.diagnoses or () for case in cases], predictor.diagnoses),
            present=np.array([[s[name] is not None for name in predictor.modalities] for s in samples], bool),
            calibration=predictor.calibration,
            logits_with=lambda subset: predictor.logits_of(samples, subset),
        )

    @cached_property
    def logits(self) -> np.ndarray:
        """``float[N, K]`` with everything that each case brings."""
        return self.logits_with(tuple(self.modalities))

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Calibrated ``float[N, K]``."""
        return self.calibration.probabilities(self.logits)

    @cached_property
    def decided(self) -> np.ndarray:
        """``float[N, K]`` in 0/1. Exclusive: the most probable one; co-occurring: at least one half."""
        p = self.probabilities
        chosen = p == p.max(1, keepdims=True) if self.calibration.kind == "exclusive" else p >= 0.5
        return np.asarray(chosen, dtype=float)

    @cached_property
    def in_set(self) -> np.ndarray:
        """``bool[N, K]``: which diagnoses each case's prediction set holds."""
        held = np.zeros(self.targets.shape, bool)
        for row, p in enumerate(self.probabilities):
            held[row, self.calibration.prediction_set(p)] = True
        return held

    @cached_property
    def groups(self) -> Groups:
        """Who the patients are and how their images were made."""
        return groups_of(self.cases)

    @cached_property
    def patients(self) -> list[str]:
        """The patient of each case."""
        return [case.patient.id for case in self.cases]

    @cached_property
    def bootstrap(self) -> Bootstrap:
        """The same samples for every metric."""
        return Bootstrap(self.patients)

    def subsets(self) -> list[Subset]:
        """Choices of modalities, the whole first."""
        names, count = tuple(self.modalities), len(self.modalities)
        sizes = range(count, 0, -1) if count <= MOST_MODALITIES else sorted({count, count - 1, 1}, reverse=True)
        return [subset for size in sizes for subset in combinations(names, size)]

    def has(self, subset: Subset) -> np.ndarray:
        """``bool[N]``: cases that bring every one of these modalities."""
        columns = [list(self.modalities).index(name) for name in subset]
        return np.asarray(self.present[:, columns].all(1))
