"""Windows: from values to brightness between 0 and 1, as DICOM defines it."""

from __future__ import annotations

import numpy as np

from clinical_mm.pictures.decoded import VoiFunction


def apply_window(values: np.ndarray, center: float, width: float, function: VoiFunction = "LINEAR") -> np.ndarray:
    """Brightness ``float32`` in 0..1, of the shape of ``values``.

    Source: DICOM PS3.3 C.11.2.1.2 (LINEAR and its exact form), C.11.2.1.3.1 (SIGMOID).
    """
    values = np.asarray(values, dtype=np.float32)
    if function == "SIGMOID":
        exponent = np.clip(-4.0 * (values - center) / max(width, 1e-6), -60.0, 60.0)
        return np.asarray(1.0 / (1.0 + np.exp(exponent)), dtype=np.float32)
    if function == "LINEAR" and width > 1:
        center, width = center - 0.5, width - 1
    scaled = (values - np.float32(center)) / np.float32(max(width, 1e-6)) + np.float32(0.5)
    return np.clip(scaled, 0.0, 1.0, out=scaled)


def percentile_window(values: np.ndarray, low: float = 0.5, high: float = 99.5) -> tuple[float, float]:
    """(center, width) that shows all but the outermost values; taken from at most a million of them."""
    flat = values.reshape(-1)
    sample = flat[:: max(1, flat.size // 1_000_000)]
    bottom, top = (float(v) for v in np.percentile(sample, (low, high)))
    if top <= bottom:
        bottom, top = float(values.min()), float(values.max())
    return (bottom + top) / 2, max(top - bottom, 1.0 if float(top).is_integer() else 1e-6)
