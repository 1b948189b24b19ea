"""A picture that shows nothing: blank, black, white, of very few brightnesses, or noise alone.

Shapes: H W pixels of the network's plane, D slices of a volume.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from clinical_mm.answers import Caution
from clinical_mm.cautions.base import Check, Seen
from clinical_mm.vision.prepare import place

LEVELS = 64
FEWEST_BITS = 1.8
"""Entropy of the brightness over 64 levels: blank 0, two-tone 1 and its edges; films and slices 3.5 to 6."""
FEWEST_LIKENESS = 0.3
"""Correlation of neighbouring pixels: 0 for noise, above 0.6 for films, however small they are made."""


class BlankImage(Check):
    """``blank-image``, judged on the pixels that the network sees, without their padding.

    Source: entropy of the grey levels and first-order autocorrelation, Haralick et al., 1973 (texture measures).
    """

    def cautions(self, seen: Seen) -> Iterator[Caution]:
        """One for each image that shows nothing."""
        sample = seen.sample.get("imaging")
        if sample is None:
            return
        said: set[int] = set()
        for pixels, origin in zip(sample["pixels"], sample["origin"], strict=True):
            number, fault = int(origin[0, 0]) + 1, fault_of(inside(pixels, origin))
            if fault and number not in said:
                said.add(number)
                yield Caution("blank-image", f"image {number} {fault}: what the model says of it means nothing")


def inside(pixels: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """``float32[(D,) H, W]``: a prepared image without its padding."""
    spot = place(int(origin[0, 2]), int(origin[0, 3]), (pixels.shape[-2], pixels.shape[-1]))
    return np.asarray(pixels[..., *spot.slices], dtype=np.float32)


def fault_of(pixels: np.ndarray) -> str | None:
    """Why a picture in 0..1 shows nothing, in words that follow "image 2"; None where it shows something."""
    levels = np.minimum((pixels * LEVELS).astype(np.int64), LEVELS - 1)
    shares = np.bincount(levels.ravel(), minlength=LEVELS) / levels.size
    some = shares[shares > 0]
    if float(-(some * np.log2(some)).sum()) < FEWEST_BITS:
        return _told(shares)
    return "is noise without any structure" if _likeness(pixels) < FEWEST_LIKENESS else None


def _told(shares: np.ndarray) -> str:
    if shares[0] > 0.9:
        return f"is black ({shares[0]:.0%} of it)"
    if shares[-1] > 0.9:
        return f"is white ({shares[-1]:.0%} of it)"
    return "is of one brightness" if shares.max() > 0.9 else "has hardly more than two brightnesses"


def _likeness(pixels: np.ndarray) -> float:
    """Correlation of each pixel with its right-hand neighbour."""
    left, right = pixels[..., :-1].ravel(), pixels[..., 1:].ravel()
    left, right = left - left.mean(), right - right.mean()
    spread = float(np.sqrt((left @ left) * (right @ right)))
    return float(left @ right) / spread if spread else 0.0
