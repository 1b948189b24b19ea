"""Where and how an image was made, from its header alone: nothing is decoded. For evaluations, never for an answer."""

from __future__ import annotations

from dataclasses import dataclass

from clinical_mm.errors import UnreadableFile, UnsupportedFile
from clinical_mm.pictures import header
from clinical_mm.pictures.dicom import read_header
from clinical_mm.pictures.sniff import media_type


@dataclass(frozen=True)
class Acquisition:
    """What a DICOM header tells of it; None where it tells nothing, and for PNG and JPEG.

    Attributes:
        site: InstitutionName (0008,0080).
        device: Manufacturer and ManufacturerModelName (0008,0070), (0008,1090).
        view: ViewPosition (0018,5101).
        kind: Modality (0008,0060).
    """

    site: str | None = None
    device: str | None = None
    view: str | None = None
    kind: str | None = None


def acquisition(data: bytes) -> Acquisition:
    """Read it; what is no readable DICOM file tells nothing."""
    try:
        if media_type(data) != "application/dicom":
            return Acquisition()
        ds = read_header(data)
    except (UnsupportedFile, UnreadableFile):
        return Acquisition()
    made_by = [part for k in ("Manufacturer", "ManufacturerModelName") if (part := header.text(ds, k)) is not None]
    return Acquisition(
        site=header.text(ds, "InstitutionName"),
        device=" ".join(made_by) or None,
        view=header.text(ds, "ViewPosition"),
        kind=header.text(ds, "Modality"),
    )
