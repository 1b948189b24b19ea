"""Decoding beside the bare decoder and MONAI's loader; preparing for the network beside a bare resize."""

from __future__ import annotations

import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.transforms import LoadImage
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from clinical_mm.pictures import group, read_picture
from clinical_mm.vision.prepare import Preparation

TITLE = "Decoding and preparing images"
RUNS = 9


def run() -> str:
    rows = []
    for side in (512, 2048):
        for syntax in (ExplicitVRLittleEndian, RLELossless, JPEGLSLossless, JPEG2000Lossless):
            data = a_file(side, syntax)
            bare = milliseconds(lambda d=data: dcmread(BytesIO(d)).pixel_array)
            ours = milliseconds(lambda d=data: read_picture(d))
            loader = milliseconds(lambda d=data: monai_load(d))
            rows.append(
                f"| {side} x {side} {syntax.name} | {bare:.1f} | {ours:.1f} | {ours / bare:.2f} | {loader:.1f} |"
            )
    prepared = [
        f"| {side} -> 224 | {a:.1f} | {b:.1f} | {b / a:.2f} |" for side in (512, 2048) for a, b in [preparing(side)]
    ]
    return "\n".join(
        [
            f"Medians of {RUNS}, ms. 16-bit grey; the last column is MONAI's LoadImage from a file on disk.",
            "",
            "| file | pydicom `pixel_array` | `read_picture` | ratio | LoadImage |",
            "|---|---|---|---|---|",
            *rows,
            "",
            "| picture | bare torch resize | window, resize, pad | ratio |",
            "|---|---|---|---|",
            *prepared,
        ]
    )


def preparing(side: int) -> tuple[float, float]:
    (volume,) = group([read_picture(a_file(side, ExplicitVRLittleEndian))])
    prepare = Preparation((224, 224))
    tensor = torch.from_numpy(volume.frames)[None]
    return (
        milliseconds(lambda: F.interpolate(tensor, (224, 224), mode="area")),
        milliseconds(lambda: prepare(volume)),
    )


def monai_load(data: bytes) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.dcm"
        path.write_bytes(data)
        return LoadImage(image_only=True, reader="PydicomReader")(path)


def a_file(side: int, syntax: str) -> bytes:
    """A smooth field with noise, as compressible as a radiograph."""
    rng = np.random.default_rng(0)
    wave = np.sin(np.linspace(0, 9, side))
    pixels = (2000 + 1500 * np.outer(wave, wave) + rng.normal(0, 8, (side, side))).astype("uint16")
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = CTImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = side, side, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.WindowCenter, ds.WindowWidth, ds.PixelData = "2048", "4096", pixels.tobytes()
    if syntax != ExplicitVRLittleEndian:
        ds.compress(syntax)
    out = BytesIO()
    dcmwrite(out, ds, enforce_file_format=True)
    return out.getvalue()


def milliseconds(work: Callable[[], object]) -> float:
    def once() -> float:
        started = time.perf_counter()
        work()
        return 1000 * (time.perf_counter() - started)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        once()
        return statistics.median(once() for _ in range(RUNS))


if __name__ == "__main__":
    print(run())
