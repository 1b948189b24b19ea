"""What a header may claim, checked before anything is decoded or set aside for it."""

from __future__ import annotations

import zlib

from clinical_mm.errors import UnreadableFile

MAX_SAMPLES = 512 * 1024 * 1024
"""Largest rows x columns x frames x samples a file may hold."""

_FREE_SAMPLES = 4 * 1024 * 1024
_SAMPLES_PER_BYTE = 256
# Radiographs compress 2 to 60 times, an empty RLE frame 64 times. Beyond this a file only claims to hold a picture.

_FREE_INFLATED = 32 * 1024 * 1024
_INFLATED_PER_BYTE = 40
_INFLATE_STEP = 1024 * 1024


def check_claim(samples: int, encoded_bytes: int, max_samples: int = MAX_SAMPLES) -> None:
    """Refuse a picture whose header claims more than ``max_samples``, or far more than its bytes can hold.

    Raises:
        UnreadableFile: the claim is beyond either limit.
    """
    if samples > max_samples:
        raise UnreadableFile(f"the header claims {samples:,} pixel values; at most {max_samples:,} are read")
    if samples > max(_FREE_SAMPLES, _SAMPLES_PER_BYTE * encoded_bytes):
        raise UnreadableFile(f"the header claims {samples:,} pixel values in only {encoded_bytes:,} bytes")


def inflate(data: bytes) -> bytes:
    """A raw deflate stream (PS3.5 A.5), inflated up to a bound that grows with what was sent.

    Raises:
        UnreadableFile: it inflates to more than pictures do.
        zlib.error: it is no deflate stream.
    """
    bound = max(_FREE_INFLATED, _INFLATED_PER_BYTE * len(data))
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    parts: list[bytes] = []
    total = 0
    rest = data
    while rest and not stream.eof:
        part = stream.decompress(rest, _INFLATE_STEP)
        rest = stream.unconsumed_tail
        parts.append(part)
        total += len(part)
        if total > bound:
            raise UnreadableFile(f"{len(data):,} deflated bytes inflate to more than {bound:,}")
    if not stream.eof:
        raise UnreadableFile("the deflated data set is cut off")
    return b"".join(parts)
