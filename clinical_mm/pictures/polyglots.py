"""Files that are a picture and something else: an executable in a DICOM preamble, an archive behind a PNG.

A program that finds the other half may run it (CVE-2019-11687). What is stored is what was sent, byte for byte, so such
a file cannot be cleaned here: it is refused, and its sender told why.
Source: DICOM PS3.10 7.1 (preamble), W3C PNG 5.6 (nothing follows IEND), ITU-T T.81 B.1.1.2 (EOI).
"""

from __future__ import annotations

import re

from clinical_mm.errors import UnreadableFile
from clinical_mm.pictures.decoded import MediaType

_PREAMBLE = 128
_FIRST_BYTES = 8
"""Executables, scripts and pages are known by these; writers that leave notes in a preamble leave them zero."""
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""TIFF and BigTIFF of both byte orders, for which the preamble was left open (whole slide images)."""
_PDF_WITHIN = 1024
_MARKER = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")
"""In entropy-coded data FF 00 is a byte and FF D0..D7 a restart; any other marker ends it."""
_END_OF_IMAGE, _START_OF_IMAGE = 0xD9, b"\xff\xd8\xff"


def refuse_polyglot(data: bytes, kind: MediaType) -> None:
    """Refuse a file that another program could take for something else than a picture.

    A JPEG may be followed by more JPEGs, as phones write previews and depth maps (CIPA DC-007); zeros may follow both.

    Raises:
        UnreadableFile: it begins, or goes on behind its end, as no picture does.
    """
    if b"%PDF-" in data[:_PDF_WITHIN]:
        raise UnreadableFile("the file is a PDF as well; send the picture alone")
    if kind == "application/dicom":
        _check_preamble(data)
        return
    end = _png_end(data) if kind == "image/png" else _jpeg_end(data)
    if end is None:
        return  # cut off: the decoder says so
    rest = data[end:].lstrip(b"\0")
    if rest and not (kind == "image/jpeg" and rest.startswith(_START_OF_IMAGE)):
        raise UnreadableFile(f"{len(rest):,} bytes of something else follow the picture's end; save it anew")


def _check_preamble(data: bytes) -> None:
    if data[_PREAMBLE : _PREAMBLE + 4] != b"DICM":
        return  # without a preamble the file begins with a data element
    if data[:_FIRST_BYTES].strip(b"\0") and not data.startswith(_TIFF):
        raise UnreadableFile(
            "the DICOM preamble is neither zero nor a TIFF header, so that other programs may take the file for "
            "something else; write the file anew with an empty preamble"
        )


def _png_end(data: bytes) -> int | None:
    at = 8
    while at + 12 <= len(data):
        length, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        at += 12 + length
        if name == b"IEND":
            return at
    return None


def _jpeg_end(data: bytes) -> int | None:
    at = 2
    while (found := _MARKER.search(data, at)) is not None:
        marker, at = found[0][-1], found.end()
        if marker == _END_OF_IMAGE:
            return at
        if marker not in {0x01, 0xD8}:  # all others bring a length; a scan's data follow its header
            at += int.from_bytes(data[at : at + 2], "big")
    return None
