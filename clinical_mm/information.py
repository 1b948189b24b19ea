"""How much the label of a case would teach a model: where a reviewer's time is best spent.

    information = mean of uncertainty, disagreement and novelty, each 0 to 1

    uncertainty   mean over the diagnoses of the entropy of each, in bits, since a label tells of all of them; of an
                  exclusive task the entropy over all, divided by its largest value
    disagreement  of what each modality says alone: Jensen-Shannon distance, the square root of the entropy of their
                  mean less their mean entropy, of entropies as above; 0 where the case has one modality alone. It
                  tells a model that does not know yet from a case that nobody could know
    novelty       half the distance between the case's unit vector and that of the closest case that the model has
                  seen, in its space of similar cases; 0 = seen already

A mean, so that no part rules another out. Uncertainty alone asks for cases whose labels no evidence foretells, and for
the same kind of case a hundred times.
Source: entropy, and its joining with a similarity, Settles, 2009 (Active Learning Literature Survey, 2.1 and 2.6);
views that contradict each other, Muslea et al., 2006 (Active learning with multiple views); the mutual information of
verdicts, Houlsby et al., 2011 (BALD, arXiv:1112.5745), here of modalities in place of draws of the weights; distance
from the labelled cases, Sener and Savarese, 2018 (core sets, arXiv:1708.00489).
Shapes: N cases, K diagnoses, M modalities.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DIGITS = 6


@dataclass(frozen=True)
class Information:
    """What a case's label would teach, 0 to 1, and what it is the mean of."""

    uncertainty: float
    disagreement: float
    novelty: float

    @property
    def score(self) -> float:
        """The mean of the three."""
        return (self.uncertainty + self.disagreement + self.novelty) / 3

    def to_json(self) -> dict[str, float]:
        """Plain data."""
        parts = {"score": self.score, **vars(self)}
        return {name: round(part, DIGITS) for name, part in parts.items()}


def information(p_NK: np.ndarray, alone_NMK: np.ndarray, similarity_N: np.ndarray, kind: str) -> list[Information]:
    """One for each case.

    Args:
        p_NK: probabilities.
        alone_NMK: those that each modality gives alone; NaN where a case does not have it.
        similarity_N: cosine with the closest case that the model has seen, -1 to 1.
        kind: ``exclusive`` or ``co-occurring``.
    """
    there_NM = ~np.isnan(alone_NMK).any(2)
    count_N = np.maximum(there_NM.sum(1), 1)
    told_NMK = np.where(there_NM[:, :, None], alone_NMK, 0)
    mean_NK = told_NMK.sum(1) / count_N[:, None]
    each_N = np.where(there_NM, _entropy(told_NMK, kind), 0).sum(1) / count_N
    divergence_N = np.where(count_N > 1, _entropy(mean_NK, kind) - each_N, 0)
    parts = (
        _entropy(p_NK, kind),
        np.sqrt(np.clip(divergence_N, 0, 1)),
        np.sqrt(np.clip((1 - similarity_N) / 2, 0, 1)),
    )
    return [Information(*map(float, row)) for row in zip(*parts, strict=True)]


def _entropy(p: np.ndarray, kind: str) -> np.ndarray:
    """Of probabilities[..., K], 0 to 1: over the diagnoses where exactly one holds, else the mean of each one's."""
    if kind == "exclusive":
        return np.asarray(_bits(p).sum(-1) / np.log2(max(p.shape[-1], 2)))
    return np.asarray((_bits(p) + _bits(1 - p)).mean(-1))


def _bits(p: np.ndarray) -> np.ndarray:
    return -p * np.log2(np.where(p > 0, p, 1))
