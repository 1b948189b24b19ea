"""PNG and JPEG without what stands beside the pixels: EXIF, XMP, comments, texts, thumbnails, bytes after the end.

The coded pixels stay byte for byte, and so does how the picture is turned.
Source: PNG (Third Edition) 5 and 11, ITU-T T.81 Annex B, EXIF 3.0 4.6.5 (orientation).
"""

from __future__ import annotations

import struct
from io import BytesIO

from PIL import Image

from clinical_mm.errors import UnreadableFile
from clinical_mm.pictures.decoded import MediaType

_PNG_SIGNATURE = 8
_PNG_KEPT = frozenset({b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"pHYs", b"bKGD", b"hIST", b"cICP"})
"""Beside the critical chunks, whose first letter is a capital."""
_APP0, _APP14, _APP15, _COMMENT = 0xE0, 0xEE, 0xEF, 0xFE
_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})
_ORIENTATION = 0x0112


def clean_raster(data: bytes, kind: MediaType) -> tuple[bytes, int]:
    """The file without its metadata, and how many pieces of that there were.

    Raises:
        UnreadableFile: its pieces do not follow each other as they must.
    """
    try:
        return _png(data) if kind == "image/png" else _jpeg(data)
    except (struct.error, IndexError) as error:
        raise UnreadableFile("the picture is cut off") from error


def _png(data: bytes) -> tuple[bytes, int]:
    kept, removed, at = [data[:_PNG_SIGNATURE]], 0, _PNG_SIGNATURE
    while True:
        (length,), kind = struct.unpack_from(">L", data, at), data[at + 4 : at + 8]
        end = at + 12 + length
        if end > len(data):
            raise UnreadableFile("the PNG is cut off")
        if kind[:1].isupper() or kind in _PNG_KEPT:
            kept.append(data[at:end])
        else:
            removed += 1
        at = end
        if kind == b"IEND":
            return b"".join(kept), removed + (at < len(data))


def _jpeg(data: bytes) -> tuple[bytes, int]:
    orientation = _orientation(data)
    turned = b"" if orientation == 1 else _exif(orientation)
    kept, removed, at = [data[:2], turned], 0, 2
    while True:
        while data[at + 1] == 0xFF:
            at += 1
        marker = data[at + 1]
        if marker == _END:
            kept.append(data[at : at + 2])
            return b"".join(kept), removed + (at + 2 < len(data))
        end = at + 2 if marker in _WITHOUT_LENGTH else at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == _SCAN:
            end = _after_scan(data, end)
        if data[at] != 0xFF or end > len(data):
            raise UnreadableFile("the JPEG is cut off")
        if _tells(marker, data[at + 4 : at + 9]):
            removed += data[at:end] != turned
        else:
            kept.append(data[at:end])
        at = end


def _tells(marker: int, start: bytes) -> bool:
    """Whether a segment holds words: JFIF's own and Adobe's colour transform are needed to decode."""
    if marker == _COMMENT:
        return True
    needed = (marker == _APP0 and start == b"JFIF\0") or marker == _APP14
    return _APP0 <= marker <= _APP15 and not needed


def _after_scan(data: bytes, at: int) -> int:
    """Where the coded pixels end: at a marker that is neither a stuffed byte nor a restart."""
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 1 >= len(data):
            raise UnreadableFile("the JPEG is cut off")
        if data[at + 1] not in {0x00, *range(0xD0, 0xD8)}:
            return at
        at += 2


def _orientation(data: bytes) -> int:
    try:
        with Image.open(BytesIO(data), formats=["JPEG"]) as image:
            said = image.getexif().get(_ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        raise UnreadableFile("the JPEG does not decode") from error
    return said if isinstance(said, int) and 1 <= said <= 8 else 1


def _exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    body = exif.tobytes()
    if not body.startswith(b"Exif\0\0"):
        body = b"Exif\0\0" + body
    return b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body
