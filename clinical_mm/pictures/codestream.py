"""The size that a JPEG, JPEG-LS or JPEG 2000 codestream claims, read from its own header.

Source: ITU-T T.81 B.2.2 (frame header), ITU-T T.800 A.5.1 (SIZ marker segment).
"""

from __future__ import annotations

import struct

_START_OF_IMAGE, _SIZ_AFTER_SOC = b"\xff\xd8", b"\xff\x4f\xff\x51"
_JP2_SIGNATURE = b"\x00\x00\x00\x0cjP  "
_FRAME_HEADERS = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
# SOF0..SOF15 less the tables that share their range (DHT, JPG, DAC), and JPEG-LS' SOF55
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})


def codestream_size(data: bytes) -> tuple[int, int] | None:
    """(rows, columns) as the codestream says, None where it is of another kind (RLE) or says nothing."""
    if data.startswith(_START_OF_IMAGE):
        return _jpeg_size(data)
    start = data.find(_SIZ_AFTER_SOC) if data.startswith(_JP2_SIGNATURE) else 0
    if start < 0 or not data.startswith(_SIZ_AFTER_SOC, start) or len(data) < start + 24:
        return None
    right, bottom, left, top = struct.unpack_from(">4L", data, start + 8)
    return bottom - top, right - left


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _FRAME_HEADERS:
            rows, columns = struct.unpack_from(">2H", data, at + 5)
            return rows, columns
        if marker == 0xFF:
            at += 1
        elif marker in _WITHOUT_LENGTH:
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
