"""From a data set's pixel data to an array: checks first, then the decoder, and one place for what decoders raise."""

from __future__ import annotations

import logging
import math
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.errors import InvalidDicomError
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from clinical_mm.errors import UnreadableFile
from clinical_mm.pictures.codestream import codestream_size
from clinical_mm.pictures.limits import check_claim

_PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")

_FAULTS = (
    *(AttributeError, ArithmeticError, AssertionError, EOFError, LookupError, MemoryError, OSError, RuntimeError),
    *(StopIteration, SystemError, TypeError, ValueError, InvalidDicomError, struct.error, zlib.error),
)
# What pydicom and the JPEG, JPEG-LS, JPEG 2000 and RLE decoders raise for bytes that are not what they claim.
# RuntimeError covers RecursionError and NotImplementedError, ValueError covers UnicodeError.

_quiet_lock = threading.RLock()


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn whatever a decoder raises into UnreadableFile, and keep pydicom's remarks out of warnings and logs.

    The remarks quote values of the header, and those can be a patient's. Filters and loggers belong to the process, so
    one thread at a time changes them; decoders hold the interpreter's lock anyway.

    Raises:
        UnreadableFile: anything in the body failed as faulty bytes make it fail; ``what`` says which part.
    """
    logger = logging.getLogger("pydicom")
    with _quiet_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        was_disabled, logger.disabled = logger.disabled, True
        try:
            yield
        except _FAULTS as error:
            raise UnreadableFile(f"{what} does not decode ({type(error).__name__})") from error
        finally:
            logger.disabled = was_disabled


def decode_pixels(ds: Dataset, transfer_syntax: str, max_samples: int) -> tuple[np.ndarray, str]:
    """Stored values ``[F, H, W]`` or ``[F, H, W, 3]`` (YBR as RGB) and the photometric interpretation they are in.

    Raises:
        UnreadableFile: no pixels, no decoder, a claim beyond the limit, or bytes that do not decode.
    """
    keyword = next((k for k in _PIXEL_KEYWORDS if ds.get(k)), None)
    name = UID(transfer_syntax).name
    if keyword is None:
        kind = UID(str(ds.get("SOPClassUID") or "of unknown class")).name
        raise UnreadableFile(f"the DICOM object ({kind}) holds no pixel data")
    with reading("the image header"):
        _check_header(ds, len(ds[keyword].value), UID(transfer_syntax).is_compressed, max_samples)
    try:
        decoder = get_decoder(UID(transfer_syntax))
    except NotImplementedError as error:
        raise UnreadableFile(f"no decoder here for transfer syntax {name}") from error
    with reading(f"the pixel data ({name})"):
        if decoder.is_encapsulated:
            _check_codestreams(ds)
        array, properties = decoder.as_array(ds, allow_excess_frames=False)  # type: ignore[arg-type]  # typed as one of its options
        shape = (_frame_count(ds), int(ds.Rows), int(ds.Columns))
        shaped = array.reshape(*shape, 3) if ds.get("SamplesPerPixel", 1) == 3 else array.reshape(shape)
        return shaped, str(properties["photometric_interpretation"])


def _frame_count(ds: Dataset) -> int:
    return int(ds.get("NumberOfFrames") or 1)


def _check_header(ds: Dataset, encoded_bytes: int, compressed: bool, max_samples: int) -> None:
    sides: dict[str, Any] = {
        "Rows": ds.get("Rows"),
        "Columns": ds.get("Columns"),
        "BitsAllocated": ds.get("BitsAllocated"),
    }
    for keyword, value in sides.items():
        if not isinstance(value, int) or value < 1:
            raise UnreadableFile(f"the header gives no usable {keyword}")
    frames, per_pixel = _frame_count(ds), int(ds.get("SamplesPerPixel", 1))
    if frames < 1 or per_pixel not in {1, 3}:
        raise UnreadableFile(f"{frames} frames of {per_pixel} samples a pixel are not a picture")
    samples = int(ds.Rows) * int(ds.Columns) * frames * per_pixel
    check_claim(samples, encoded_bytes, max_samples)
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
