"""What a reader may see of a file's header once it was treated (clinical_mm/pictures/header.py)."""

from __future__ import annotations

from typing import Any

from clinical_mm.deidentify.dicom import opened
from clinical_mm.pictures import header, media_type
from clinical_mm.pictures.decoding import reading


def header_attributes(data: bytes) -> dict[str, Any]:
    """The attributes of a treated file that treating may have changed; none for PNG and JPEG. Nothing is decoded."""
    if media_type(data) != "application/dicom":
        return {}
    file = opened(data)
    with reading("the DICOM header"):
        return {
            **header.attributes(file.ds, file.transfer_syntax),
            "series_uid": header.text(file.ds, "SeriesInstanceUID"),
        }
