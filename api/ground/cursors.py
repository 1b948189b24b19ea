"""Cursors: opaque to callers, and checked when they come back, so that one cut short or made up is refused."""

from __future__ import annotations

import base64
import binascii
import zlib

_CHECK = 4
"""Bytes of CRC-32 before the text: against accidents, not against forgers - a cursor gives no right to anything."""


def sealed(text: str) -> str:
    """A cursor that holds a text, of characters that need no escape in a URL."""
    data = text.encode()
    return base64.urlsafe_b64encode(zlib.crc32(data).to_bytes(_CHECK) + data).decode().rstrip("=")


def opened(cursor: str) -> str:
    """What a cursor holds; raises ValueError where it is none of ours."""
    try:
        whole = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("no cursor") from error
    check, data = whole[:_CHECK], whole[_CHECK:]
    if zlib.crc32(data).to_bytes(_CHECK) != check or sealed(data.decode()) != cursor:
        raise ValueError("no cursor")
    return data.decode()
