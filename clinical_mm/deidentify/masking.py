"""Boxes of a picture made black, the rest kept value by value at its own depth.

A compressed DICOM file is stored uncompressed afterwards, since coding it again as it was could lose; what a lossy
coding had lost before stays told in LossyImageCompression. A JPEG becomes a PNG.
Source: DICOM PS3.15 E.3.1, PS3.3 C.7.6.3.1.2 (what is black in each photometric interpretation).
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pack_bits

from clinical_mm.deidentify.dicom import Opened, mark_masked, opened, written
from clinical_mm.deidentify.report import Box
from clinical_mm.pictures.decoding import reading
from clinical_mm.pictures.structure import EXPLICIT_BIG, EXPLICIT_LITTLE, NATIVE

_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def masked_dicom(data: bytes, boxes: Sequence[Box]) -> bytes:
    """A DICOM file with these boxes black in every frame; raises UnreadableFile."""
    file = opened(data)
    ds, native = file.ds, file.transfer_syntax in NATIVE
    with reading("the pixel data"):
        as_stored = native and "422" not in str(ds.get("PhotometricInterpretation", ""))
        array, said = get_decoder(file.transfer_syntax).as_array(ds, raw=as_stored)
        frames, rows, columns = int(ds.get("NumberOfFrames") or 1), int(ds.Rows), int(ds.Columns)
        colours = int(ds.get("SamplesPerPixel", 1))
        pixels = array.reshape(frames, rows, columns, colours).copy()
        photometric = str(said["photometric_interpretation"])
        _blacken(pixels, boxes, _black(pixels, photometric, ds))
        syntax = file.transfer_syntax if native else EXPLICIT_LITTLE
        _store(ds, pixels, photometric, big=syntax == EXPLICIT_BIG)
        mark_masked(ds)
    if not native:
        ds.set_original_encoding(False, True)
    return written(Opened(ds, syntax))


def masked_raster(data: bytes, boxes: Sequence[Box]) -> bytes:
    """A PNG of a PNG's or JPEG's pixels, upright, with these boxes black."""
    out = BytesIO()
    with Image.open(BytesIO(data), formats=["PNG", "JPEG"]) as image:
        upright = ImageOps.exif_transpose(image) if image.format == "JPEG" else image
        masked = upright.convert("RGB") if upright.mode == "P" else upright.copy()
        masked.info = {}
        for box in boxes:
            masked.paste(0 if len(masked.getbands()) == 1 else (0,) * len(masked.getbands()), box)
        masked.save(out, "PNG")
    return out.getvalue()


def _blacken(pixels: np.ndarray, boxes: Sequence[Box], black: np.ndarray) -> None:
    for left, top, right, bottom in boxes:
        pixels[:, top:bottom, left:right] = black


def _black(pixels: np.ndarray, photometric: str, ds: Dataset) -> np.ndarray:
    """The darkest value that the picture has, so that its range stays what it was."""
    if photometric == "PALETTE COLOR":
        entries = np.arange(int(ds.RedPaletteColorLookupTableDescriptor[0]) or 65536)
        first = int(ds.RedPaletteColorLookupTableDescriptor[1])
        colours = apply_color_lut((entries + first).astype(np.uint32), ds).astype(np.int64)
        return np.array([first + int(np.argmin(colours.sum(axis=-1)))], dtype=pixels.dtype)
    if photometric.startswith("YBR"):
        middle = 2 ** (int(ds.BitsStored) - 1)
        return np.array([0, middle, middle], dtype=pixels.dtype)
    darkest = pixels.max() if photometric == "MONOCHROME1" else pixels.min() if pixels.shape[-1] == 1 else 0
    return np.full(pixels.shape[-1], darkest, dtype=pixels.dtype)


def _store(ds: Dataset, pixels: np.ndarray, photometric: str, *, big: bool) -> None:
    keyword = next(k for k in _KEYWORDS if k in ds)
    if int(ds.BitsAllocated) == 1:
        stored = pack_bits(pixels)
    else:
        stored = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<")).tobytes()
        ds.BitsAllocated = 8 * pixels.dtype.itemsize
    setattr(ds, keyword, stored + b"\0" * (len(stored) % 2))
    ds[keyword].is_undefined_length = False
    if keyword == "PixelData":
        ds[keyword].VR = "OW" if ds.BitsAllocated > 8 else "OB"
    ds.PhotometricInterpretation = photometric
    if pixels.shape[-1] > 1:
        ds.PlanarConfiguration = 0
    for offsets in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if offsets in ds:
            delattr(ds, offsets)
