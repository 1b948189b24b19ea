"""How much one file may ask of whoever reads it; apart from the pictures, so that settings need no decoder."""

from __future__ import annotations

from dataclasses import dataclass

MB = 2**20


@dataclass(frozen=True)
class Limits:
    """How much one file may ask of whoever reads it. The defaults are the widest: what is stored was within them.

    Attributes:
        pixel_values: rows x columns x frames x samples, as claimed.
        frames: as claimed.
        depth: of nested sequences; real objects nest up to about ten deep.
        elements: data elements before the pixels, those inside sequences counted; 2,000 enhanced frames have 80,000.
        inflated_mb: of a deflated data set.
        memory_mb: beyond what a decoder needs by itself (decoders.py).
        seconds: of decoding, and one more for each MB that the file has (decoders.py).
    """

    pixel_values: int = 512 * MB
    frames: int = 10_000
    depth: int = 32
    elements: int = 200_000
    inflated_mb: int = 1024
    memory_mb: int = 4096
    seconds: float = 5.0


WIDEST = Limits()
