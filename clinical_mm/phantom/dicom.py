"""A phantom's pixels as a real DICOM object: Digital X-Ray Image - For Presentation, explicit little endian."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

from clinical_mm.case import Patient


def as_dicom(pixels: np.ndarray, patient: Patient, name: str, position: str, site: str) -> bytes:
    """The file's bytes; identifiers follow from ``name`` and ``position`` (PA, LL): the same draw gives the same.

    Source: DICOM PS3.3 A.26 (DX IOD), C.8.11.3 (DX image), C.11.2 (VOI LUT).
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[name, position, "instance"])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    _identify(dataset, patient, name, position)
    _acquire(dataset, position, site)
    _describe_pixels(dataset, pixels)
    target = BytesIO()
    dataset.save_as(target, enforce_file_format=True)
    return target.getvalue()


def _identify(dataset: Dataset, patient: Patient, name: str, position: str) -> None:
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[name, position, "instance"])
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=[name, "study"])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[name, position, "series"])
    dataset.StudyDate, dataset.StudyTime = "20260101", "080000"
    dataset.StudyID, dataset.AccessionNumber, dataset.SeriesNumber, dataset.InstanceNumber = "1", name[-16:], 1, 1
    dataset.PatientName, dataset.PatientID = "SYNTHETIC^PHANTOM", patient.id
    dataset.PatientBirthDate, dataset.PatientSex = "", patient.sex or ""
    dataset.PatientAge = f"{int(patient.age_years or 0):03d}Y"
    dataset.SeriesDescription, dataset.ReferringPhysicianName = "SYNTHETIC chest, drawn by a program", ""


def _acquire(dataset: Dataset, position: str, site: str) -> None:
    """Where and how the film was made; two sites with a device each, which mean nothing."""
    dataset.InstitutionName, dataset.Manufacturer = f"SYNTHETIC {site}", f"clinical_mm phantom {site}"
    dataset.Modality = "DX"
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.BodyPartExamined, dataset.ViewPosition = "CHEST", position
    dataset.PatientOrientation = ["L", "F"] if position == "PA" else ["P", "F"]
    dataset.ImageLaterality, dataset.ImageType = "U", ["DERIVED", "SECONDARY"]
    dataset.BurnedInAnnotation, dataset.LossyImageCompression = "NO", "00"


def _describe_pixels(dataset: Dataset, pixels: np.ndarray) -> None:
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelIntensityRelationship, dataset.PixelIntensityRelationshipSign = "LOG", -1
    dataset.ImagerPixelSpacing = [1.4, 1.4]
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = 0, 1, "US"
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.WindowCenter, dataset.WindowWidth, dataset.WindowCenterWidthExplanation = 1500, 2600, "chest"
    dataset.PixelData = pixels.astype("<u2").tobytes()
