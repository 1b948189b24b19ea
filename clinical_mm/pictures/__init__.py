"""Pictures: bytes of a DICOM, PNG or JPEG file to values, windows and previews, refusing what is not what it claims."""

from __future__ import annotations

from clinical_mm.errors import UnreadableFile, UnsupportedFile
from clinical_mm.limits import WIDEST, Limits
from clinical_mm.pictures.decoded import MediaType, Picture, Window
from clinical_mm.pictures.dicom import read_dicom
from clinical_mm.pictures.preview import frame_raw, heatmap_png, preview_png
from clinical_mm.pictures.raster import read_raster
from clinical_mm.pictures.series import Volume, group
from clinical_mm.pictures.sniff import media_type
from clinical_mm.pictures.statistics import pixel_statistics

__all__ = [
    "Limits",
    "MediaType",
    "Picture",
    "UnreadableFile",
    "UnsupportedFile",
    "Volume",
    "Window",
    "frame_raw",
    "group",
    "heatmap_png",
    "media_type",
    "pixel_statistics",
    "preview_png",
    "read_dicom",
    "read_picture",
    "read_raster",
]


def read_picture(data: bytes, limits: Limits = WIDEST) -> Picture:
    """Decode a file of any kind that is read here, found from its bytes.

    Raises:
        UnsupportedFile: it is none of DICOM, PNG and JPEG.
        UnreadableFile: it claims to be one and does not decode; the message says why.
    """
    kind = media_type(data)
    if kind == "application/dicom":
        return read_dicom(data, limits)
    return read_raster(data, kind, limits)
