"""JPEG Lossless and 12-bit JPEG for pydicom, by libjpeg-turbo 3 (through imagecodecs).

pydicom knows for these GDCM, whose memory faults stay unmended, and pylibjpeg-libjpeg, which is under the GPL.
Baseline JPEG of 8 bits stays with Pillow, which pydicom asks by itself.
"""

from __future__ import annotations

from pydicom.pixels.decoders.base import DecodeRunner, get_decoder
from pydicom.uid import JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1

NAME = "libjpeg-turbo"
DECODER_DEPENDENCIES = dict.fromkeys((JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1), ("imagecodecs",))
"""Read by pydicom, as is ``is_available``: the interface of its plugins."""


def is_available(uid: str) -> bool:
    """Whether this plugin decodes a transfer syntax; imagecodecs is always installed."""
    return uid in DECODER_DEPENDENCIES


def _decode_frame(src: bytes, runner: DecodeRunner) -> bytes:
    """One frame, samples as they are encoded: colours are turned by pydicom alone, which knows the header.

    Raises:
        RuntimeError: the bytes are no JPEG, or end too early.
    """
    from imagecodecs import jpeg8_decode

    raw = "rgb" if runner.samples_per_pixel == 3 else None
    frame = jpeg8_decode(src, colorspace=raw, outcolorspace=raw)
    runner.set_option("bits_allocated", 8 * frame.dtype.itemsize)
    runner.set_option("planar_configuration", 0)
    return bytes(frame.tobytes())


def install() -> None:
    """Make pydicom ask this plugin; once a process is enough, more do no harm."""
    for uid in DECODER_DEPENDENCIES:
        decoder = get_decoder(uid)
        if NAME not in decoder.available_plugins:
            decoder.add_plugin(NAME, (__name__, "_decode_frame"))
