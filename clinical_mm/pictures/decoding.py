"""From a data set's pixel data to an array: checks first, then the decoder, and one place for what decoders raise."""

from __future__ import annotations

import logging
import math
import struct
import threading
import warnings
import zlib
from types import TracebackType
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.errors import InvalidDicomError
from pydicom.pixels.decoders.base import Decoder, get_decoder

from clinical_mm.errors import UnreadableFile
from clinical_mm.limits import Limits
from clinical_mm.pictures import jpeg
from clinical_mm.pictures.codestream import codestream_size
from clinical_mm.pictures.header import numbers, text, uid_name
from clinical_mm.pictures.limits import check_claim
from clinical_mm.pictures.structure import NATIVE

jpeg.install()

_PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")

_FAULTS = (
    *(AttributeError, ArithmeticError, AssertionError, EOFError, LookupError, MemoryError, OSError, RuntimeError),
    *(StopIteration, SystemError, TypeError, ValueError, InvalidDicomError, struct.error, zlib.error),
)
# What pydicom and the JPEG, JPEG-LS, JPEG 2000 and RLE decoders raise for bytes that are not what they claim.
# RuntimeError covers RecursionError and NotImplementedError, ValueError covers UnicodeError.

_quiet_lock = threading.RLock()


class reading:  # noqa: N801 - reads as a statement: with reading("the pixel data"): ...
    """Turn whatever a decoder raises into UnreadableFile, and keep pydicom's remarks out of warnings and logs.

    The remarks quote values of the header, and those can be a patient's. Filters and loggers belong to the process, so
    one thread at a time changes them; decoders hold the interpreter's lock anyway.

    Raises:
        UnreadableFile: anything in the body failed as faulty bytes make it fail; ``what`` says which part.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._logger = logging.getLogger("pydicom")
        self._warnings = warnings.catch_warnings()

    def __enter__(self) -> None:
        _quiet_lock.acquire()
        self._warnings.__enter__()
        warnings.simplefilter("ignore")
        self._was_disabled, self._logger.disabled = self._logger.disabled, True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._logger.disabled = self._was_disabled
        self._warnings.__exit__(kind, error, trace)
        _quiet_lock.release()
        # The RLE decoder is Rust, and a panic there is no Exception: only a clause that is too wide would see it.
        if kind is not None and (issubclass(kind, _FAULTS) or kind.__module__ == "pyo3_runtime"):
            raise UnreadableFile(f"{self.what} does not decode ({kind.__name__})") from error


def decode_pixels(ds: Dataset, transfer_syntax: str, limits: Limits) -> tuple[np.ndarray, str]:
    """Stored values ``[F, H, W]`` or ``[F, H, W, 3]`` (YBR as RGB) and the photometric interpretation they are in.

    Raises:
        UnreadableFile: no pixels, no decoder, a claim beyond the limit, or bytes that do not decode.
    """
    with reading("the DICOM header"):
        keyword = next((k for k in _PIXEL_KEYWORDS if ds.get(k)), None)
        if keyword is None:
            raise UnreadableFile(f"the DICOM object ({uid_name(text(ds, 'SOPClassUID'))}) holds no pixel data")
    with reading("the image header"):
        _check_header(ds, len(ds[keyword].value), transfer_syntax not in NATIVE, limits)
    name = uid_name(transfer_syntax)
    with reading(f"the pixel data ({name})"):
        decoder = _decoder(transfer_syntax)
        if decoder.is_encapsulated:
            _check_codestreams(ds)
        plugin = jpeg.NAME if jpeg.is_available(transfer_syntax) else ""
        array, properties = decoder.as_array(ds, decoding_plugin=plugin, allow_excess_frames=False)  # type: ignore[arg-type]  # typed as one of its options
        shape = (_frame_count(ds), int(ds.Rows), int(ds.Columns))
        shaped = array.reshape(*shape, 3) if ds.get("SamplesPerPixel", 1) == 3 else array.reshape(shape)
        return shaped, str(properties["photometric_interpretation"])


def _decoder(transfer_syntax: str) -> Decoder:
    try:
        return get_decoder(transfer_syntax)
    except NotImplementedError as error:
        raise UnreadableFile(f"no decoder here for the transfer syntax ({uid_name(transfer_syntax)})") from error


def _frame_count(ds: Dataset) -> int:
    said = ds.get_item("NumberOfFrames")
    if said is None or not said.value:
        return 1
    counted = numbers(ds, "NumberOfFrames")
    if not counted or counted[0] < 1:
        raise UnreadableFile("the header gives no usable NumberOfFrames")
    return int(counted[0])


def _check_header(ds: Dataset, encoded_bytes: int, compressed: bool, limits: Limits) -> None:
    sides: dict[str, Any] = {
        "Rows": ds.get("Rows"),
        "Columns": ds.get("Columns"),
        "BitsAllocated": ds.get("BitsAllocated"),
    }
    for keyword, value in sides.items():
        if not isinstance(value, int) or value < 1:
            raise UnreadableFile(f"the header gives no usable {keyword}")
    frames, per_pixel = _frame_count(ds), int(ds.get("SamplesPerPixel", 1))
    if per_pixel not in {1, 3}:
        raise UnreadableFile(f"{per_pixel} samples a pixel are neither grey nor colour")
    if frames > limits.frames:
        raise UnreadableFile(f"the header claims {frames:,} frames; at most {limits.frames:,} are read")
    samples = int(ds.Rows) * int(ds.Columns) * frames * per_pixel
    check_claim(samples, encoded_bytes, limits)
    # 4:2:2 subsampled colour stores two samples of three
    kept = 2 / 3 if "422" in str(ds.get("PhotometricInterpretation", "")) else 1
    needed = math.ceil(samples * int(ds.BitsAllocated) * kept / 8)
    if not compressed and encoded_bytes < needed:
        raise UnreadableFile(f"the pixel data is cut off: {encoded_bytes:,} bytes of {needed:,}")


def _check_codestreams(ds: Dataset) -> None:
    """A codestream brings its own size; a decoder trusts that one, so it must be the header's."""
    claimed = (int(ds.Rows), int(ds.Columns))
    for frame in generate_frames(ds.PixelData, number_of_frames=_frame_count(ds)):
        found = codestream_size(frame)
        if found is not None and found != claimed:
            raise UnreadableFile(
                f"a frame is {found[0]} x {found[1]} pixels, the header says {claimed[0]} x {claimed[1]}"
            )
