"""Counterfactuals: the smallest plausible changes of single values that would change what the model says.

Every value that a modality offers (``Modality.alternatives``) is tried alone. Of each vital the nearest change that
crosses even odds is told, nearest first; if none does, the fewest that do together. Then what each abnormal value does
that became normal, and what would be said without each modality.
Source: Wachter et al., 2018 (arXiv:1711.00399); few changes and plausible ones: Mothilal et al., 2020
(arXiv:1905.07697).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from clinical_mm.answers import Change, Counterfactual, Explanation
from clinical_mm.explaining.base import Explainer, contributions
from clinical_mm.explaining.question import Question
from clinical_mm.modalities.base import Alternative

SHOWN, MOST_CHANGES = 5, 3
SMALLEST_EFFECT = 0.02
"""Probability; what changes less is not told."""


class Counterfactuals(Explainer):
    """What would change it."""

    name = "counterfactuals"
    display = "What would change it"

    def explain(self, question: Question) -> Explanation:
        """The modalities' shares, and the changes, smallest first."""
        return Explanation(
            target=question.target,
            method=self.name,
            baseline_value=question.prior,
            value=question.value,
            completeness_error=0.0,
            contributions=contributions(question, {}),
            counterfactuals=(*_of_values(question), *_without(question)),
        )


def _of_values(question: Question) -> list[Counterfactual]:
    alternatives = [
        alternative
        for name in question.there
        for alternative in question.predictor.modalities[name].alternatives(question.case)
    ]
    singly = list(zip(alternatives, _log_odds(question, [[a] for a in alternatives]), strict=True))
    if not singly:
        return []
    nearest: dict[str, tuple[Alternative, float]] = {}
    for made, after in sorted(singly, key=lambda s: s[0].distance):
        if _crosses(question, after):
            nearest.setdefault(made.name, (made, after))
    told = [_told(question, [made], after) for made, after in nearest.values()] or _together(question, singly)
    normal = [(made, after) for made, after in singly if made.normal and made.name not in nearest]
    normal.sort(key=lambda s: -abs(s[1] - question.value))
    told += [_told(question, [made], after) for made, after in normal]
    return [c for c in told if abs(c.probability_after - c.probability) >= SMALLEST_EFFECT][:SHOWN]


def _together(question: Question, singly: Sequence[tuple[Alternative, float]]) -> list[Counterfactual]:
    """The fewest changes that cross even odds together, each the one that helps most; none where even these do not."""
    wanted = -math.copysign(1.0, question.value)
    chosen = [max(singly, key=lambda s: wanted * s[1])[0]]
    while len(chosen) < MOST_CHANGES:
        left = [a for a, _ in singly if a.name not in {c.name for c in chosen}]
        if not left:
            return []
        found = _log_odds(question, [[*chosen, a] for a in left])
        after, best = max(zip(found, left, strict=True), key=lambda s: wanted * s[0])
        chosen.append(best)
        if _crosses(question, after):
            return [_told(question, chosen, after)]
    return []


def _without(question: Question) -> list[Counterfactual]:
    """What would be said without each of the modalities that are present, where others are left."""
    everything = frozenset(question.there)
    return [
        Counterfactual(
            (Change(name, None, None),), _probability(question.value), _probability(question.worth[everything - {name}])
        )
        for name in question.there
        if len(everything) > 1
    ]


def _log_odds(question: Question, changes: Sequence[Sequence[Alternative]]) -> list[float]:
    """Log-odds of the case after each of several sets of changes; those of one set are of one modality."""
    found = [0.0] * len(changes)
    everything = frozenset(question.there)
    for name in question.there:
        rows = [row for row, made in enumerate(changes) if made[0].modality == name]
        if not rows:
            continue
        modality = question.predictor.modalities[name]
        samples = [modality.changed(question.case, changes[row]) for row in rows]
        batch = {key: value.to(question.predictor.device) for key, value in modality.collate(samples).items()}
        with torch.no_grad():
            tokens = {**question.tokens, name: question.predictor.network.encoder(name)(batch)}
            values = question.log_odds(tokens, [everything] * len(rows)).tolist()
        for row, value in zip(rows, values, strict=True):
            found[row] = value
    return found


def _crosses(question: Question, after: float) -> bool:
    return (after > 0) != (question.value > 0)


def _told(question: Question, made: Sequence[Alternative], after: float) -> Counterfactual:
    changes = tuple(Change(a.name, a.value, a.to, a.unit) for a in made)
    return Counterfactual(changes, _probability(question.value), _probability(after))


def _probability(log_odds: float) -> float:
    return 1 / (1 + math.exp(-log_odds))
