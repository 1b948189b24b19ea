"""What a header may claim, checked before anything is decoded or set aside for it."""

from __future__ import annotations

import zlib

from clinical_mm.errors import UnreadableFile
from clinical_mm.limits import MB, WIDEST, Limits

_FREE_SAMPLES = 4 * 1024 * 1024
_SAMPLES_PER_BYTE = 256
# Radiographs compress 2 to 60 times, an empty RLE frame 64 times. Beyond this a file only claims to hold a picture.

_FREE_INFLATED = 32 * 1024 * 1024
_INFLATED_PER_BYTE = 40
_INFLATE_STEP = 1024 * 1024


def check_claim(samples: int, encoded_bytes: int, limits: Limits = WIDEST) -> None:
    """Refuse a picture whose header claims more pixel values than the limit, or far more than its bytes can hold.

    Raises:
        UnreadableFile: the claim is beyond either limit.
    """
    if samples > limits.pixel_values:
        raise UnreadableFile(f"the header claims {samples:,} pixel values; at most {limits.pixel_values:,} are read")
    if samples > max(_FREE_SAMPLES, _SAMPLES_PER_BYTE * encoded_bytes):
        raise UnreadableFile(f"the header claims {samples:,} pixel values in only {encoded_bytes:,} bytes")


def inflate(data: bytes, limits: Limits = WIDEST) -> bytes:
    """A raw deflate stream (PS3.5 A.5), inflated up to a bound that grows with what was sent, and up to the limit.

    Raises:
        UnreadableFile: it inflates to more than pictures do.
        zlib.error: it is no deflate stream.
    """
    bound = min(limits.inflated_mb * MB, max(_FREE_INFLATED, _INFLATED_PER_BYTE * len(data)))
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
