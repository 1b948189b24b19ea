"""What kind of file some bytes are, from the bytes alone: a name or a declared type proves nothing."""

from __future__ import annotations

from clinical_mm.errors import UnsupportedFile
from clinical_mm.pictures.decoded import MediaType
from clinical_mm.pictures.structure import is_dicom

_SIGNATURES: tuple[tuple[bytes, MediaType], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
)


def media_type(data: bytes) -> MediaType:
    """The media type of a file that is read here.

    Raises:
        UnsupportedFile: it is none of DICOM, PNG and JPEG.
    """
    for signature, kind in _SIGNATURES:
        if data.startswith(signature):
            return kind
    if is_dicom(data):
        return "application/dicom"
    raise UnsupportedFile("the file is empty" if not data else "not a DICOM, PNG or JPEG file")
