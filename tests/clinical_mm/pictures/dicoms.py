"""DICOM files made for a test: a few real elements around given pixels."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

CANARY = "Canary^Patient"


def data_set(pixels: np.ndarray, **elements: Any) -> Dataset:
    """A CT image of ``pixels[H, W]``, ``[F, H, W]`` or ``[H, W, 3]``; ``elements`` by keyword change or add."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = CTImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
    ds.PatientName, ds.PatientID, ds.PatientBirthDate = CANARY, "canary-id", "19501231"
    ds.InstitutionName, ds.Modality = "Canary Hospital", "CT"
    colour = pixels.ndim == 3 and pixels.shape[-1] == 3
    ds.SamplesPerPixel = 3 if colour else 1
    if colour:
        ds.PlanarConfiguration = 0
    elif pixels.ndim == 3:
        ds.NumberOfFrames = len(pixels)
    ds.Rows, ds.Columns = pixels.shape[:2] if colour else pixels.shape[-2:]
    ds.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 8 * pixels.dtype.itemsize
    ds.HighBit, ds.PixelRepresentation = ds.BitsStored - 1, int(pixels.dtype.kind == "i")
    ds.PixelData = pixels.tobytes()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def to_bytes(ds: Dataset) -> bytes:
    """The file as stored."""
    out = BytesIO()
    dcmwrite(out, ds, enforce_file_format=True)
    return out.getvalue()


def dicom(pixels: np.ndarray, **elements: Any) -> bytes:
    """``data_set`` as a file."""
    return to_bytes(data_set(pixels, **elements))


def ramp(rows: int = 24, columns: int = 32, top: int = 4000, dtype: str = "uint16") -> np.ndarray:
    """Values that rise from 0 to ``top``, so that a swapped axis or byte shows."""
    return np.linspace(0, top, rows * columns).astype(dtype).reshape(rows, columns)
