"""Where the training cases lie in an encoder's space, and how far from there a case may lie before it is strange.

Two distances, since each misses what the other sees: Mahalanobis' takes directions that training cases never left for
narrow, whatever lies along them; nearest neighbours see gaps between clusters, and turned directions where lengths say
little. Both are put on one scale, and the larger counts.
Shapes: N cases, V validation cases, D token width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

MOST_REFERENCES = 2000
NEIGHBOURS = 10
FALSE_ALARMS = 0.01
FEWEST_TAUGHT, FEWEST_HELD_BACK = 50, 50
"""With V validation cases false alarms cannot be held below 1 / (V + 1): fewer than these are no ground to warn on."""
_NARROWEST = 0.01
_SMALLEST = 1e-6
_IQR_OF_A_NORMAL = 1.349
_UNSCALED = np.array([[0, 1], [0, 1]], np.float32)


@dataclass(frozen=True)
class Region:
    """One modality's training cases.

    Attributes:
        references: ``float32[N, D]`` unit vectors of the training cases, at most 2,000.
        center: ``float32[D]`` their mean token.
        whitening: ``float32[D, D]``; a centred token times this has the identity for covariance.
        scale: ``float32[2, 2]``: median and robust spread of the logarithm of each distance, in the validation part.
        held_back: ``float32[V]`` strangeness of the validation cases, ascending.

    Source: Mahalanobis distance, Lee et al., 2018 (arXiv:1807.03888), with the shrinkage of Ledoit and Wolf, 2004; deep
    nearest neighbours, Sun et al., 2022 (arXiv:2204.06507); conformal p-value, Bates et al., 2023 (arXiv:2104.08279).
    """

    references: np.ndarray
    center: np.ndarray
    whitening: np.ndarray
    scale: np.ndarray
    held_back: np.ndarray

    @classmethod
    def of(cls, taught: np.ndarray, held_back: np.ndarray) -> Self | None:
        """Of mean tokens taught[N, D] and held_back[V, D]; None where there are too few of either."""
        if len(taught) < FEWEST_TAUGHT or len(held_back) < FEWEST_HELD_BACK:
            return None
        evenly = np.linspace(0, len(taught) - 1, min(len(taught), MOST_REFERENCES)).round().astype(int)
        references = _unit(taught[evenly]).astype(np.float16).astype(np.float32)  # as a bundle keeps them
        region = cls(references, *_whitening(taught), _UNSCALED, np.zeros(0, np.float32))
        low, middle, high = np.percentile(region._log_distances(held_back), [25, 50, 75], axis=1)
        spread = np.maximum((high - low) / _IQR_OF_A_NORMAL, _SMALLEST)
        region = replace(region, scale=np.stack([middle, spread], 1).astype(np.float32))
        return replace(region, held_back=np.sort(region.strangeness(held_back)))

    def strangeness(self, tokens: np.ndarray) -> np.ndarray:
        """Of mean tokens[N, D], ``float32[N]``: the larger of both distances, each on the validation part's scale."""
        scaled = (self._log_distances(tokens) - self.scale[:, :1]) / self.scale[:, 1:]
        return np.asarray(scaled.max(0), dtype=np.float32)

    def is_strange(self, strangeness: float) -> bool:
        """Whether it is beyond the conformal quantile: for a case like those of training at most 1 in 100, or V + 1."""
        count = len(self.held_back)
        rank = min(count, math.ceil((count + 1) * (1 - FALSE_ALARMS)))
        return bool(strangeness > self.held_back[rank - 1])

    def _log_distances(self, tokens: np.ndarray) -> np.ndarray:
        """``float32[2, N]``: Mahalanobis' distance, and that to the 10th nearest training case among directions."""
        tokens = tokens.astype(np.float32)
        far = np.linalg.norm((tokens - self.center) @ self.whitening, axis=1)
        squared = 2 - 2 * _unit(tokens) @ self.references.T
        kth = np.partition(squared, NEIGHBOURS - 1, axis=1)[:, NEIGHBOURS - 1]
        return np.log(np.stack([far, np.sqrt(np.maximum(kth, 0))]) + _SMALLEST)


def _whitening(taught: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Center and whitening; channels that never move in training count as moving a little: rounding is no news."""
    from sklearn.covariance import ledoit_wolf

    spread = taught.std(0)
    spread = np.maximum(spread, max(_NARROWEST * float(spread.mean()), _SMALLEST))
    center = taught.mean(0)
    covariance, _ = ledoit_wolf((taught - center) / spread, assume_centered=True)
    variances, directions = np.linalg.eigh(covariance)
    whitening = directions / np.sqrt(np.maximum(variances, _SMALLEST)) / spread[:, None]
    return np.asarray(center, np.float32), np.asarray(whitening, np.float32)


def _unit(tokens: np.ndarray) -> np.ndarray:
    return np.asarray(tokens / np.maximum(np.linalg.norm(tokens, axis=1, keepdims=True), _SMALLEST), np.float32)
