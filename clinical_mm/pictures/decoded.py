"""Picture: one decoded file, in the units its maker meant, without the patient's identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

MediaType = Literal["application/dicom", "image/png", "image/jpeg"]
VoiFunction = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]


@dataclass(frozen=True)
class Window:
    """One window preset, in the units of ``Picture.frames``."""

    name: str
    center: float
    width: float


@dataclass(frozen=True)
class Picture:
    """What one DICOM, PNG or JPEG file shows.

    Attributes:
        frames: ``float32[F, H, W]`` after the modality LUT (Hounsfield units for CT); high is bright, MONOCHROME1 is
            turned over. Colour is here as luminance.
        rgb: ``uint8[F, H, W, 3]`` where the file is in colour.
        default_window: (center, width) to show it with.
        windows: the presets that the file brings.
        voi_function: how a window maps to brightness (PS3.3 C.11.2.1.2).
        value_range: smallest and largest value in ``frames``.
        spacing_mm: millimetres between rows and between columns.
        position_mm: place of the first frame along the normal of its plane, for sorting a series.
        frame_positions_mm: the same for each frame of a multi-frame object, where it tells.
        attributes: what of the header a reader may see and a model may use; never who the patient is.
    """

    frames: np.ndarray
    media_type: MediaType
    default_window: tuple[float, float]
    value_range: tuple[float, float]
    rgb: np.ndarray | None = None
    windows: tuple[Window, ...] = ()
    voi_function: VoiFunction = "LINEAR"
    spacing_mm: tuple[float, float] | None = None
    position_mm: float | None = None
    frame_positions_mm: tuple[float, ...] = ()
    series_uid: str | None = None
    instance_number: int | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def frame_count(self) -> int:
        """How many frames the file holds."""
        return int(self.frames.shape[0])

    @property
    def size(self) -> tuple[int, int]:
        """(rows, columns)."""
        return int(self.frames.shape[1]), int(self.frames.shape[2])

    @property
    def nbytes(self) -> int:
        """Memory that its pixels take, in bytes."""
        return int(self.frames.nbytes) + (0 if self.rgb is None else int(self.rgb.nbytes))
