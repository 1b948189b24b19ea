"""Pictures of a Picture: a preview in grey or colour, a heat map to lay over it, the values themselves for a viewer."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image

from clinical_mm.pictures.decoded import Picture
from clinical_mm.pictures.windows import apply_window

_WARM, _COOL = (230, 60, 20), (30, 100, 230)
_STRONGEST_ALPHA = 200
_SMOOTHING = 40
_LARGEST_UINT16 = 65535


def preview_png(
    picture: Picture, *, window: tuple[float, float] | None = None, frame: int = 0, size: int = 512
) -> bytes:
    """One frame as an 8-bit PNG whose longer side is at most ``size`` pixels; never enlarged.

    Args:
        picture: what to show.
        window: (center, width) in the units of ``picture.frames``; None = its default, or its colours as they are.
        frame: which one, from 0.
        size: the longer side, in pixels.

    Raises:
        IndexError: the picture has no such frame.
    """
    if not 0 <= frame < picture.frame_count:
        raise IndexError(f"frame {frame} of {picture.frame_count}")
    if picture.rgb is not None and window is None:
        image = Image.fromarray(picture.rgb[frame])
    else:
        center, width = window or picture.default_window
        bright = apply_window(picture.frames[frame], center, width, picture.voi_function)
        image = Image.fromarray(np.rint(bright * 255).astype(np.uint8))
    image.thumbnail((size, size), Image.Resampling.LANCZOS if size >= 64 else Image.Resampling.BOX)
    return _png(image)


def heatmap_png(values: np.ndarray, *, width: int, height: int) -> bytes:
    """Attributions ``float32[H, W]`` as an RGBA PNG: warm speaks for, cool against, transparent where nothing is said.

    Gradients of single pixels are speckle; what a reader can use is where they gather, so they are smoothed over a
    fortieth of the picture. The scale is symmetric about 0 and ends at the 99.5th percentile of the magnitudes, so that
    one place does not dim the rest.
    """
    from scipy.ndimage import gaussian_filter

    values = np.nan_to_num(np.asarray(values, dtype=np.float32))
    values = gaussian_filter(values, sigma=max(values.shape) / _SMOOTHING)
    smooth = np.asarray(Image.fromarray(values).resize((width, height), Image.Resampling.BILINEAR), dtype=np.float32)
    magnitude = np.abs(smooth)
    top = float(np.percentile(magnitude, 99.5)) or float(magnitude.max()) or 1.0
    rgba = np.zeros((height, width, 4), dtype=np.uint8)
    rgba[..., :3] = np.where(smooth[..., np.newaxis] >= 0, _WARM, _COOL)
    rgba[..., 3] = np.rint(np.clip(magnitude / top, 0.0, 1.0) * _STRONGEST_ALPHA).astype(np.uint8)
    return _png(Image.fromarray(rgba))


def frame_raw(picture: Picture, frame: int = 0) -> tuple[bytes, int, int, float, float]:
    """One frame for a viewer that windows by itself.

    Returns:
        ``uint16`` little endian ``[H, W]``, rows, columns, slope, intercept: value = stored * slope + intercept.
        Slope and intercept are the same for all frames; whole numbers stay exact where their range fits 16 bits.

    Raises:
        IndexError: the picture has no such frame.
    """
    if not 0 <= frame < picture.frame_count:
        raise IndexError(f"frame {frame} of {picture.frame_count}")
    low, high = picture.value_range
    values = picture.frames[frame]
    whole = (
        high - low <= _LARGEST_UINT16 and low.is_integer() and bool((picture.frames == np.rint(picture.frames)).all())
    )
    slope = 1.0 if whole else (high - low) / _LARGEST_UINT16 or 1.0
    stored = np.clip(np.rint((values.astype(np.float64) - low) / slope), 0, _LARGEST_UINT16).astype("<u2")
    return stored.tobytes(), *picture.size, slope, low


def _png(image: Image.Image) -> bytes:
    out = BytesIO()
    image.save(out, "PNG", compress_level=3)
    return out.getvalue()
