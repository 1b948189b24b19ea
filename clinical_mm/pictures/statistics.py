"""A few numbers of what a picture shows, so that a new device, another window or a blur is seen without its pixels.

Measured on the brightness 0..1 that a reader is shown first: after the default window. Shapes: F frames, H W pixels.
"""

from __future__ import annotations

import numpy as np

from clinical_mm.pictures.decoded import Picture
from clinical_mm.pictures.windows import apply_window

FRAMES, LONGEST = 5, 512
"""So many frames at most, evenly chosen; each averaged in blocks until its longer side has at most so many pixels."""
DARK, SATURATED = 0.02, 0.98
DIGITS = 6


def pixel_statistics(picture: Picture) -> dict[str, float]:
    """Means over the frames looked at.

    Returns:
        brightness: mean, 0..1.
        contrast: standard deviation of the brightness.
        sharpness: standard deviation of the Laplacian divided by the contrast, so that a mere change of contrast leaves
            it as it is: noise above 4, films 0.1 to 1; 0 where the picture is of one brightness.
        dark, saturated: share of pixels at the lower and at the upper end of the window.

    Source: variance of the Laplacian as a measure of focus, Pech-Pacheco et al., 2000.
    """
    chosen = np.linspace(0, picture.frame_count - 1, min(picture.frame_count, FRAMES)).round().astype(int)
    center, width = picture.default_window
    shown = [apply_window(_reduced(picture.frames[i]), center, width, picture.voi_function) for i in chosen]
    each = [_of_frame(frame) for frame in shown]
    return {name: round(float(np.mean([one[name] for one in each])), DIGITS) for name in each[0]}


def _of_frame(shown: np.ndarray) -> dict[str, float]:
    contrast = float(shown.std())
    return {
        "brightness": float(shown.mean()),
        "contrast": contrast,
        "sharpness": _edges(shown) / contrast if contrast > 10**-DIGITS else 0.0,
        "dark": float((shown <= DARK).mean()),
        "saturated": float((shown >= SATURATED).mean()),
    }


def _edges(shown: np.ndarray) -> float:
    if min(shown.shape) < 3:
        return 0.0
    across = shown[1:-1, :-2] + shown[1:-1, 2:]
    along = shown[:-2, 1:-1] + shown[2:, 1:-1]
    return float((across + along - 4 * shown[1:-1, 1:-1]).std())


def _reduced(frame: np.ndarray) -> np.ndarray:
    """``float32[H, W]`` averaged in square blocks; what is left over at the right and lower edge is cut off."""
    block = -(-max(frame.shape) // LONGEST)
    rows, columns = frame.shape[0] // block, frame.shape[1] // block
    if block == 1 or not rows or not columns:
        return frame
    cut = frame[: rows * block, : columns * block]
    return np.asarray(cut.reshape(rows, block, columns, block).mean((1, 3)), np.float32)
