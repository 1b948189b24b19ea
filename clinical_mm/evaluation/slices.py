"""The same metric on parts: each choice of modalities, each group of patients beside the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from clinical_mm.evaluation.groups import UNKNOWN
from clinical_mm.evaluation.judged import Judged, Subset
from clinical_mm.evaluation.metrics import Estimate, auroc, macro

SMALLEST_GROUP = 10
"""Fewer cases make no statement about a group of patients."""


@dataclass(frozen=True)
class SubsetReport:
    """How good the model is where only these modalities are let in, on the cases that bring them all."""

    modalities: Subset
    cases: int
    macro_auroc: Estimate

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"modalities": self.modalities, "cases": self.cases, "macro_auroc": self.macro_auroc.to_json()}


@dataclass(frozen=True)
class GroupReport:
    """How good the model is on one group; ``gap`` is that minus the same on everyone else."""

    by: str
    group: str
    cases: int
    macro_auroc: Estimate
    gap: Estimate

    def to_json(self) -> dict[str, Any]:
        """Plain data; ``unequal``: the gap's interval does not hold 0."""
        told = {"macro_auroc": self.macro_auroc.to_json(), "gap": self.gap.to_json(), "unequal": self.is_unequal}
        return {"by": self.by, "group": self.group, "cases": self.cases, **told}

    @property
    def is_unequal(self) -> bool:
        """Whether the gap's interval lies on one side of 0; one in twenty does by chance."""
        return self.gap.low > 0 or self.gap.high < 0


def by_subset(judged: Judged) -> list[SubsetReport]:
    """Every choice of modalities that any case has, the whole first."""
    found = []
    for subset in judged.subsets():
        rows = judged.has(subset)
        if rows.any():
            p = judged.calibration.probabilities(judged.logits_with(subset))
            estimate = judged.bootstrap.estimate(macro(auroc), judged.targets, p, rows)
            found.append(SubsetReport(subset, int(rows.sum()), estimate))
    return found


def by_group(judged: Judged) -> list[GroupReport]:
    """Every group of at least ten cases, of whatever is told of at least two such groups."""
    found = []
    for by, each in judged.groups.items():
        names, counts = np.unique(np.asarray(each), return_counts=True)
        large = [str(n) for n, count in zip(names, counts, strict=True) if count >= SMALLEST_GROUP and n != UNKNOWN]
        found += [_group(judged, by, name) for name in large if len(large) > 1]
    return found


def _group(judged: Judged, by: str, name: str) -> GroupReport:
    rows = np.asarray(judged.groups[by]) == name
    parts = judged.targets, judged.probabilities, rows
    return GroupReport(
        by,
        name,
        int(rows.sum()),
        judged.bootstrap.estimate(macro(auroc), *parts),
        judged.bootstrap.difference(macro(auroc), *parts),
    )
