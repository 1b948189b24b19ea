"""DICOM to Picture: data set, checks, pixels, modality LUT, VOI LUT, polarity, colour.

Source: DICOM PS3.3 C.7.6.3 (image pixel), C.11.1 (modality LUT), C.11.2 (VOI LUT), PS3.4 N.2 (their order).
"""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import numpy as np
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi

from clinical_mm.errors import UnreadableFile
from clinical_mm.limits import WIDEST, Limits
from clinical_mm.pictures import header
from clinical_mm.pictures.decoded import Picture, Window
from clinical_mm.pictures.decoding import decode_pixels, reading
from clinical_mm.pictures.structure import check_structure, find_data_set
from clinical_mm.pictures.windows import percentile_window

LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue in brightness (ITU-R BT.601, as DICOM's YBR has it)."""


def read_dicom(data: bytes, limits: Limits = WIDEST) -> Picture:
    """Decode one DICOM file; what its header claims is checked before anything is decoded.

    Args:
        data: the file, with or without preamble and file meta information.
        limits: what it may claim.

    Raises:
        UnreadableFile: no pixels, no decoder for its transfer syntax, cut off, or not what it claims.
    """
    ds, transfer_syntax = _data_set(data, limits)
    stored, photometric = decode_pixels(ds, transfer_syntax, limits)
    with reading("the image"):
        if photometric == "PALETTE COLOR":
            picture = _colour(apply_color_lut(stored, ds), bits=None)
        elif stored.ndim == 4:
            picture = _colour(stored, bits=int(ds.get("BitsStored", 8)))
        else:
            picture = _grey(stored, ds, inverted=photometric == "MONOCHROME1")
        instance = header.numbers(ds, "InstanceNumber")
        return replace(
            picture,
            spacing_mm=header.spacing_mm(ds),
            position_mm=header.position_mm(ds, next(iter(header.groups(ds)), None)),
            frame_positions_mm=header.frame_positions_mm(ds),
            series_uid=header.text(ds, "SeriesInstanceUID"),
            instance_number=int(instance[0]) if instance else None,
            attributes=header.attributes(ds, transfer_syntax),
        )


def read_header(data: bytes) -> Dataset:
    """The elements of a DICOM file, pixels undecoded; raises UnreadableFile."""
    return _data_set(data, WIDEST)[0]


def _data_set(data: bytes, limits: Limits) -> tuple[Dataset, str]:
    with reading("the DICOM header"):
        part = find_data_set(data, limits)
        check_structure(part, limits)
        ds = read_dataset(BytesIO(part.data), part.implicit, part.little)
        ds.set_original_encoding(part.implicit, part.little)
        return ds, part.transfer_syntax


def _colour(stored: np.ndarray, bits: int | None) -> Picture:
    """A colour picture from ``stored[F, H, W, 3]``; ``bits`` None = as many as its type has."""
    shift = (8 * stored.dtype.itemsize if bits is None else bits) - 8
    rgb = np.clip(stored[..., :3] >> shift if shift > 0 else stored[..., :3], 0, 255).astype(np.uint8)
    luminance = rgb.astype(np.float32) @ LUMINANCE
    return Picture(
        frames=luminance,
        rgb=rgb,
        media_type="application/dicom",
        default_window=(128.0, 256.0),
        value_range=(float(luminance.min()), float(luminance.max())),
    )


def _grey(stored: np.ndarray, ds: Dataset, *, inverted: bool) -> Picture:
    frames, (lowest, highest) = _modality_values(stored, ds)
    presets = header.windows(ds)
    if not presets and ds.get("VOILUTSequence"):
        frames, (lowest, highest) = _voi_values(frames, ds)
        presets = (Window("VOI LUT", (lowest + highest + 1) / 2, highest - lowest + 1),)
    if inverted:
        mirror = lowest + highest
        np.subtract(np.float32(mirror), frames, out=frames)
        presets = tuple(Window(p.name, mirror - p.center + 1, p.width) for p in presets)
    value_range = (float(frames.min()), float(frames.max()))
    if not np.isfinite(value_range).all():
        raise UnreadableFile("the pixel data holds values that are no numbers")
    window = (presets[0].center, presets[0].width) if presets else percentile_window(frames)
    return Picture(
        frames=frames,
        media_type="application/dicom",
        default_window=window,
        windows=presets,
        voi_function=header.voi_function(ds) if presets else "LINEAR_EXACT",
        value_range=value_range,
    )


def _modality_values(stored: np.ndarray, ds: Dataset) -> tuple[np.ndarray, tuple[float, float]]:
    """``float32[F, H, W]`` and the smallest and largest value that the stored bits could have given."""
    if ds.get("ModalityLUTSequence"):
        mapped = apply_modality_lut(stored, ds)
        return mapped.astype(np.float32), (float(mapped.min()), float(mapped.max()))
    frames = stored.astype(np.float32)
    items = [header.macro(ds, "PixelValueTransformationSequence", f) for f in header.groups(ds)] or [
        header.macro(ds, "PixelValueTransformationSequence")
    ]
    scales = [
        (next(iter(header.numbers(i, "RescaleSlope")), 1.0), *header.numbers(i, "RescaleIntercept")[:1]) for i in items
    ]
    pairs = {(s[0] or 1.0, s[1] if len(s) > 1 else 0.0) for s in scales}
    if len(pairs) == 1:
        slope, intercept = pairs.pop()
        if (slope, intercept) != (1.0, 0.0):
            frames *= np.float32(slope)
            frames += np.float32(intercept)
    else:
        for frame, scale in zip(frames, scales, strict=False):
            frame *= np.float32(scale[0] or 1.0)  # noqa: PLW2901 - in place, on the view
            frame += np.float32(scale[1] if len(scale) > 1 else 0.0)  # noqa: PLW2901
        return frames, (float(frames.min()), float(frames.max()))
    ends = sorted(end * slope + intercept for end in _stored_range(stored, ds))
    return frames, (ends[0], ends[1])


def _stored_range(stored: np.ndarray, ds: Dataset) -> tuple[float, float]:
    bits = header.numbers(ds, "BitsStored")
    if stored.dtype.kind == "f" or not bits:
        return float(stored.min()), float(stored.max())
    if stored.dtype.kind == "i":
        return -(2.0 ** (bits[0] - 1)), 2.0 ** (bits[0] - 1) - 1
    return 0.0, 2.0 ** bits[0] - 1


def _voi_values(frames: np.ndarray, ds: Dataset) -> tuple[np.ndarray, tuple[float, float]]:
    """Values through the first VOI LUT, and the range of its output; applied only where no window stands beside it."""
    depth = int(ds.VOILUTSequence[0].LUTDescriptor[2])
    mapped = apply_voi(np.rint(frames).astype(np.int32), ds)
    return mapped.astype(np.float32), (0.0, 2.0**depth - 1)
