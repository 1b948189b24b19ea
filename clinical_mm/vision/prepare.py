"""From the images of a case to arrays of one size: window to 0..1, resize with the aspect kept, pad.

Shapes: F frames as stored, D slices, H W pixels of the network's plane.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from clinical_mm.pictures.series import Volume
from clinical_mm.pictures.windows import apply_window, percentile_window


@dataclass(frozen=True)
class Placement:
    """Where a resized picture lies in the padded plane, in pixels of that plane."""

    top: int
    left: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Indices of the picture's rows and columns."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width


def place(rows: int, columns: int, plane: tuple[int, int]) -> Placement:
    """The largest centred rectangle of the picture's aspect in a plane of (H, W) pixels."""
    scale = min(plane[0] / rows, plane[1] / columns)
    height, width = max(1, min(plane[0], round(rows * scale))), max(1, min(plane[1], round(columns * scale)))
    return Placement((plane[0] - height) // 2, (plane[1] - width) // 2, height, width)


@dataclass(frozen=True)
class Preparation:
    """How images become arrays.

    Attributes:
        size: (H, W) for two dimensions, (D, H, W) for three.
        window: (center, width) for CT in place of the file's own, in Hounsfield units.
        frames_per_image: two dimensions only: how many evenly spaced frames stand for a volume.
    """

    size: tuple[int, ...]
    window: tuple[float, float] | None = None
    frames_per_image: int = 1

    def __call__(self, volume: Volume) -> list[tuple[np.ndarray, np.ndarray]]:
        """Pixels in 0..1, ``float16[H, W]`` or ``float16[D, H, W]``, each with its origin.

        An origin is ``int64[P, 4]``, one row a slice of the array (P = 1 in two dimensions): file, frame, rows and
        columns as stored.
        """
        frames = self._chosen(volume)
        if len(self.size) == 3:
            return [(self._fit(self._bright(volume, frames)), self._origins(volume, self._depth_sources(len(frames))))]
        return [(self._fit(self._bright(volume, [f])), self._origins(volume, [f])) for f in frames]

    def _chosen(self, volume: Volume) -> list[int]:
        count = len(volume.frames)
        if len(self.size) == 3 or count <= self.frames_per_image:
            return list(range(count))
        middles = (np.arange(self.frames_per_image) + 0.5) * count / self.frames_per_image
        return [int(m) for m in middles]

    def _depth_sources(self, count: int) -> list[int]:
        return [min(count - 1, int((d + 0.5) * count / self.size[0])) for d in range(self.size[0])]

    def _bright(self, volume: Volume, chosen: Sequence[int]) -> np.ndarray:
        center, width, function = *self._window(volume), volume.picture.voi_function
        frames = volume.frames if len(chosen) == len(volume.frames) else volume.frames[list(chosen)]
        return apply_window(frames, center, width, function if volume.picture.windows else "LINEAR_EXACT")

    def _window(self, volume: Volume) -> tuple[float, float]:
        if self.window is not None and volume.picture.attributes.get("modality") == "CT":
            return self.window
        return volume.picture.default_window if volume.picture.windows else percentile_window(volume.frames)

    def _origins(self, volume: Volume, frames: Sequence[int]) -> np.ndarray:
        rows, columns = volume.frames.shape[1:]
        return np.array([(*volume.sources[f], rows, columns) for f in frames], dtype=np.int64)

    def _fit(self, frames: np.ndarray) -> np.ndarray:
        """Resize and pad ``[F, H, W]`` to ``size``; averages where it shrinks, so that thin findings do not vanish."""
        rows, columns = frames.shape[1:]
        spot = place(rows, columns, (self.size[-2], self.size[-1]))
        image = frames[np.newaxis] if len(self.size) == 3 else frames[:1]
        shrinks = spot.height <= rows and spot.width <= columns
        resized = self._resize((*self.size[:-2], spot.height, spot.width), "area" if shrinks else None)(image)
        return np.asarray(self._pad(resized)[0], dtype=np.float16)

    def _resize(self, size: tuple[int, ...], mode: str | None) -> Callable[[np.ndarray], Any]:
        from monai.transforms.spatial.array import Resize

        smooth = "trilinear" if len(size) == 3 else "bilinear"
        resize: Any = Resize(size, mode=mode or smooth, align_corners=None)
        return resize  # type: ignore[no-any-return]

    @cached_property
    def _pad(self) -> Callable[[Any], Any]:
        from monai.transforms.croppad.array import SpatialPad

        return SpatialPad(self.size)
