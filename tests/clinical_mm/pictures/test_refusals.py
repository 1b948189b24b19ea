"""What is not a picture, or claims to be a larger one than it is, is refused quickly and with a reason."""

from __future__ import annotations

import random
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import MPEG2MPML, JPEG2000Lossless, JPEGLSLossless, RLELossless

from clinical_mm.pictures import UnreadableFile, UnsupportedFile, read_picture
from tests.clinical_mm.pictures.dicoms import CANARY, data_set, dicom, ramp, to_bytes
from tests.clinical_mm.pictures.test_dicom import stored


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 300,
        b"a note about a cough " * 20,
        b"PK\x03\x04" + b"\0" * 500,
        b"%PDF-1.7\n" + b"x" * 500,
        b"GIF89a" * 40,
    ],
    ids=["empty", "zeros", "text", "zip", "pdf", "gif"],
)
def test_other_kinds_of_file_are_unsupported(data: bytes) -> None:
    with pytest.raises(UnsupportedFile):
        read_picture(data)


@pytest.mark.parametrize("name", ["rtplan.dcm", "rtstruct.dcm", "test-SR.dcm", "waveform_ecg.dcm", "DICOMDIR"])
def test_dicom_objects_without_pixels_say_so(name: str) -> None:
    with pytest.raises(UnreadableFile, match="no pixel data"):
        read_picture(stored(name if name != "DICOMDIR" else "dicomdirtests/DICOMDIR"))


def test_a_cut_off_file_is_refused_wherever_it_ends() -> None:
    data = dicom(ramp())
    for end in range(140, len(data), 97):
        with pytest.raises(UnreadableFile):
            read_picture(data[:end])


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless], ids=lambda s: s.name)
def test_cut_off_compressed_pixels_are_refused(syntax: str) -> None:
    ds = data_set(ramp(64, 64))
    ds.compress(syntax)
    data = to_bytes(ds)
    with pytest.raises(UnreadableFile):
        read_picture(data[: len(data) - 200])


def test_a_video_has_no_decoder_here() -> None:
    ds = data_set(ramp())
    ds.file_meta.TransferSyntaxUID = MPEG2MPML
    ds.PixelData = encapsulate([b"\0\0\x01\xb3" * 16])
    ds["PixelData"].is_undefined_length = True
    with pytest.raises(UnreadableFile, match="no decoder here"):
        read_picture(to_bytes(ds))


@pytest.mark.parametrize(
    "claim", [{"Rows": 65535, "Columns": 65535}, {"NumberOfFrames": 2_000_000}, {"Rows": 30000, "Columns": 30000}]
)
@pytest.mark.parametrize("compressed", [False, True])
def test_a_small_file_that_claims_gigabytes_is_refused_at_once(claim: dict[str, int], compressed: bool) -> None:
    ds = data_set(ramp(64, 96))
    if compressed:
        ds.compress(JPEG2000Lossless)
    for keyword, value in claim.items():
        setattr(ds, keyword, value)
    assert_cheap_refusal(to_bytes(ds))


def test_a_codestream_larger_than_its_header_is_refused_before_it_is_decoded() -> None:
    ds = data_set(ramp(64, 96))
    ds.compress(JPEG2000Lossless)
    data = to_bytes(ds)
    size = struct.pack(">2L", 96, 64)
    assert data.count(size) >= 1
    assert_cheap_refusal(data.replace(size, struct.pack(">2L", 60000, 60000)))


def test_a_megabyte_that_inflates_to_a_gigabyte_is_refused_early() -> None:
    head = stored("image_dfl.dcm")
    start = head.index(b"1.2.840.10008.1.2.1.99") + 22
    meta_end = 128 + 4 + 12 + struct.unpack_from("<L", head, 128 + 4 + 8)[0]
    assert meta_end >= start
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    zeros = bytes(1 << 24)
    bomb = b"".join(packer.compress(zeros) for _ in range(64)) + packer.flush()
    assert_cheap_refusal(head[:meta_end] + bomb)


@pytest.mark.parametrize("depth", [100, 300, 100_000])
@pytest.mark.parametrize("undefined", [True, False])
def test_deep_nesting_is_refused_before_a_recursive_reader_sees_it(depth: int, undefined: bool) -> None:
    assert_cheap_refusal(nested(depth, undefined=undefined))


def test_ten_deep_is_read() -> None:
    assert read_picture(nested(10, undefined=True)).size == (24, 32)


def test_a_huge_png_is_refused_from_its_header() -> None:
    out = BytesIO()
    Image.new("1", (30000, 30000)).save(out, "PNG")
    assert_cheap_refusal(out.getvalue())


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_cut_off_raster_is_refused(kind: str) -> None:
    out = BytesIO()
    Image.fromarray(ramp(64, 64, top=255, dtype="uint8")).save(out, kind)
    with pytest.raises(UnreadableFile, match="does not decode"):
        read_picture(out.getvalue()[: len(out.getvalue()) // 2])


def test_values_that_are_no_numbers_are_refused() -> None:
    pixels = np.array([[1.0, np.nan], [2.0, 3.0]], dtype="float32")
    ds = data_set(ramp(2, 2))
    del ds.PixelData
    ds.FloatPixelData, ds.BitsAllocated = pixels.tobytes(), 32
    with pytest.raises(UnreadableFile, match="no numbers"):
        read_picture(to_bytes(ds))


def test_a_reason_never_quotes_the_header() -> None:
    data = dicom(ramp(), NumberOfFrames=1).replace(b"(\0\x08\0IS\x02\x001 ", b"(\0\x08\0IS\x02\x00Z9")
    with pytest.raises(UnreadableFile) as refusal:
        read_picture(data)
    assert CANARY not in str(refusal.value)
    assert "Z9" not in str(refusal.value)


def test_a_panic_of_the_rle_decoder_is_a_refusal() -> None:
    """Segments that hold more than the header says make the Rust decoder panic, which is no Exception."""
    ds = data_set(ramp(64, 64))
    ds.compress(RLELossless)
    ds.Rows = 63
    with pytest.raises(UnreadableFile, match="PanicException"):
        read_picture(to_bytes(ds))


@pytest.mark.parametrize("seed", range(4))
def test_mutations_of_real_files_are_read_or_refused(seed: int) -> None:
    names = [
        "MR_small.dcm",
        "MR_small_RLE.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
    ]
    rng = random.Random(seed)
    for _ in range(100):
        data = mutated(stored(rng.choice(names)), rng)
        try:
            picture = read_picture(data)
        except (UnreadableFile, UnsupportedFile):
            continue
        assert np.isfinite(picture.frames).all()


@pytest.mark.slow
def test_mutations_of_the_real_cases_are_read_or_refused(shared_data: Path) -> None:
    rng = random.Random(11)
    originals = [p.read_bytes() for p in sorted((shared_data / "dicom").iterdir()) if p.suffix != ".csv"]
    for _ in range(600):
        data = mutated(rng.choice(originals), rng)
        started = time.perf_counter()
        with suppress(UnreadableFile, UnsupportedFile):
            read_picture(data)
        assert time.perf_counter() - started < 2


def mutated(data: bytes, rng: random.Random) -> bytes:
    spoiled = bytearray(data)
    for _ in range(rng.randrange(1, 12)):
        spoiled[rng.randrange(len(spoiled))] = rng.randrange(256)
    change: Callable[[int], None] = rng.choice(
        [lambda at: spoiled.__delitem__(slice(at, None)), lambda at: None, lambda at: spoiled.insert(at, 255)]
    )
    change(rng.randrange(1, len(spoiled)))
    return bytes(spoiled)


def nested(depth: int, *, undefined: bool) -> bytes:
    """A file with a private sequence in explicit little endian, nested ``depth`` deep, before its pixels."""
    if undefined:
        opening = b"\x09\0\x10\x10SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\0\xe0\xff\xff\xff\xff"
        closing = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
        block = opening * depth + closing * depth
    else:
        block = b"".join(
            b"\x09\0\x10\x10SQ\0\0" + struct.pack("<L", 20 * d + 8) + b"\xfe\xff\0\xe0" + struct.pack("<L", 20 * d)
            for d in reversed(range(depth))
        )
    data = dicom(ramp())
    at = data.index(b"\x10\0\x10\0PN")
    return data[:at] + block + data[at:]


def assert_cheap_refusal(data: bytes) -> None:
    """Refused in half a second and with less than 64 MB more than the file itself."""
    tracemalloc.start()
    started = time.process_time()
    with pytest.raises(UnreadableFile):
        read_picture(data)
    seconds = time.process_time() - started
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds < 0.5
    assert peak < 64e6 + 3 * len(data)
