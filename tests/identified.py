"""DICOM files that say who they are of, in every place that a file has."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian

NAME, MRN, BORN, ACCESSION = "Quillfeather^Barnaby", "MRN-7001842", "19310517", "ACC5512907"
CT = UID("1.2.840.10008.5.1.4.1.1.2")
STUDY, SERIES = "1.2.826.0.1.3680043.8.498.1", "1.2.826.0.1.3680043.8.498.2"


def identified(number: int = 1, pixels: np.ndarray | None = None, **values: Any) -> Dataset:
    """A CT image of one patient; ``values`` are set by keyword, ``None`` takes one away."""
    pixels = np.arange(64 * 64, dtype=np.int16).reshape(64, 64) if pixels is None else pixels
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.SourceApplicationEntityTitle = "QUILLFEATHER_AE"
    ds.SOPClassUID, ds.Modality, ds.ImageType = CT, "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = STUDY, SERIES, f"{SERIES}.{number}"
    ds.FrameOfReferenceUID, ds.InstanceNumber = f"{STUDY}.9", number
    ds.StudyDate, ds.SeriesDate, ds.StudyTime = "20260301", "20260302", "101500"
    ds.AcquisitionDateTime = f"2026030210150{number % 10}.25"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate = NAME, MRN, BORN
    ds.PatientAge, ds.PatientSex, ds.AccessionNumber = "094Y", "M", ACCESSION
    ds.InstitutionName, ds.ReferringPhysicianName = "Saint Brumaire Hospital", "Oxenstierna^Dag"
    ds.SeriesDescription, ds.Manufacturer = f"Chest of {NAME}", "ACME"
    ds.SourceImageSequence = Sequence([_reference(f"{SERIES}.{number + 1}")])
    ds.RequestAttributesSequence = Sequence([Dataset()])
    ds.RequestAttributesSequence[0].RequestedProcedureDescription = f"CT of {MRN}"
    ds.PerformedProtocolCodeSequence = Sequence([_nested(4)])
    ds.private_block(0x0029, "QUILL PRIVATE", create=True).add_new(0x10, "LO", NAME)
    _set_pixels(ds, pixels)
    for keyword, value in values.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return ds


def dicom_bytes(ds: Dataset) -> bytes:
    """As a file."""
    out = BytesIO()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.preamble = (bytes(64) + b"QUILLFEATHER").ljust(128, b"\0")
    dcmwrite(out, ds)
    return out.getvalue()


def with_text(pixels: np.ndarray, text: str, at: tuple[int, int] = (12, 10), size: int = 18) -> np.ndarray:
    """Pixels with text in their brightest value, as a device burns it in."""
    canvas = Image.new("L", (pixels.shape[1], pixels.shape[0]))
    ImageDraw.Draw(canvas).text(at, text, fill=255, font=ImageFont.load_default(size))
    letters = np.asarray(canvas, dtype=float) / 255
    bright = float(pixels.max())
    return np.asarray(pixels + letters * (bright - pixels), dtype=pixels.dtype)


def _reference(uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CT, uid
    return item


def _nested(depth: int) -> Dataset:
    """Codes within codes, who performed it at the bottom, and the patient's birth name at each floor."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "1", "99X", "chest"
    item.PatientBirthName = NAME
    if depth:
        item.ProtocolContextSequence = Sequence([_nested(depth - 1)])
    else:
        item.ScheduledPerformingPhysicianName = "Oxenstierna^Dag"
        item.SeriesDate = "20260302"
        item.ReferencedSOPInstanceUID = f"{SERIES}.7"
    return item


def _set_pixels(ds: Dataset, pixels: np.ndarray) -> None:
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 8 * pixels.dtype.itemsize
    ds.HighBit, ds.PixelRepresentation = ds.BitsStored - 1, int(pixels.dtype.kind == "i")
    ds.PixelData = pixels.tobytes()
