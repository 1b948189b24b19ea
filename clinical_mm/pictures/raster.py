"""PNG and JPEG to Picture."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from clinical_mm.errors import UnreadableFile
from clinical_mm.limits import WIDEST, Limits
from clinical_mm.pictures.decoded import MediaType, Picture
from clinical_mm.pictures.dicom import LUMINANCE
from clinical_mm.pictures.limits import check_claim

_FORMATS: dict[MediaType, str] = {"image/png": "PNG", "image/jpeg": "JPEG"}
_FAULTS = (
    *(UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError, EOFError, IndexError),
    *(KeyError, TypeError, AttributeError, OverflowError, MemoryError, struct.error, zlib.error),
)
_SIXTEEN_BIT_MODES = frozenset({"I;16", "I;16B", "I;16L", "I"})


def read_raster(data: bytes, kind: MediaType, limits: Limits = WIDEST) -> Picture:
    """Decode a PNG or JPEG; a grey one keeps its values (8 or 16 bits), a coloured one also becomes luminance.

    Raises:
        UnreadableFile: it does not decode, or claims more than the limits allow.
    """
    try:
        with Image.open(BytesIO(data), formats=[_FORMATS[kind]]) as image:
            check_claim(image.width * image.height * len(image.getbands()), len(data), limits)
            values, top = _values(ImageOps.exif_transpose(image) if kind == "image/jpeg" else image)
    except _FAULTS as error:
        raise UnreadableFile(f"the {_FORMATS[kind]} does not decode ({type(error).__name__})") from error
    rgb = values[np.newaxis] if values.ndim == 3 else None
    frame = (values @ LUMINANCE if values.ndim == 3 else values).astype(np.float32)
    if rgb is not None and (values == values[..., :1]).all():
        rgb, frame = None, values[..., 0].astype(np.float32)  # grey kept in three equal channels
    return Picture(
        frames=frame[np.newaxis],
        rgb=rgb,
        media_type=kind,
        default_window=((top + 1) / 2, top + 1),
        value_range=(float(frame.min()), float(frame.max())),
        attributes={"photometric": "MONOCHROME2" if rgb is None else "RGB"},
    )


def _values(image: Image.Image) -> tuple[np.ndarray, float]:
    """``uint8[H, W, 3]`` or grey ``[H, W]``, and the largest value its depth can hold."""
    if image.mode in _SIXTEEN_BIT_MODES:
        return np.asarray(image, dtype=np.int32), 65535.0
    if image.mode in {"1", "L", "LA"}:
        return np.asarray(image.convert("L")), 255.0
    return np.asarray(image.convert("RGB")), 255.0
