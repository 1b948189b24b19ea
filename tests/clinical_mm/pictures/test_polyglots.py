"""A picture that is something else as well is refused; what real writers leave around a picture is not."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path

import pydicom.data
import pytest
from PIL import Image

from clinical_mm.errors import UnreadableFile
from clinical_mm.pictures.inspection import inspect
from clinical_mm.pictures.polyglots import refuse_polyglot
from clinical_mm.pictures.sniff import media_type
from tests.clinical_mm.pictures.dicoms import dicom, ramp


def raster(kind: str) -> bytes:
    out = BytesIO()
    Image.fromarray(ramp(32, 40, top=255, dtype="uint8")).save(out, kind)
    return out.getvalue()


def archive() -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr("evil.txt", "x")
    return out.getvalue()


@pytest.mark.parametrize(
    "preamble",
    [
        b"MZ\x90\0",
        b"\x7fELF\x02\x01",
        b"\xcf\xfa\xed\xfe",
        b"#!/bin/sh\n",
        b"PK\x03\x04",
        b"<html><script>",
        b"<?php",
        b"Rar!",
    ],
)
def test_a_dicom_preamble_that_begins_another_kind_of_file_is_refused(preamble: bytes) -> None:
    data = preamble.ljust(128, b"\0") + dicom(ramp())[128:]
    with pytest.raises(UnreadableFile, match="preamble"):
        inspect(data)


@pytest.mark.parametrize("preamble", [bytes(128), b"II*\0" + b"\x08\0\0\0", b"MM\0*", bytes(17) + b"\x01note"])
def test_an_empty_preamble_a_tiff_header_and_a_note_behind_zeros_are_read(preamble: bytes) -> None:
    assert inspect(preamble.ljust(128, b"\0") + dicom(ramp())[128:]).rows == 24


def test_a_pdf_in_the_preamble_is_refused() -> None:
    with pytest.raises(UnreadableFile, match="PDF"):
        inspect((bytes(16) + b"%PDF-1.7").ljust(128, b"\0") + dicom(ramp())[128:])


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("more", [archive(), b"<script>alert(1)</script>", b"x"], ids=["zip", "html", "a byte"])
def test_what_follows_a_pictures_end_is_refused(kind: str, more: bytes) -> None:
    assert inspect(raster(kind)).rows == 32
    with pytest.raises(UnreadableFile, match="follow the picture's end"):
        inspect(raster(kind) + more)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_zeros_may_follow_a_picture(kind: str) -> None:
    assert inspect(raster(kind) + bytes(512)).rows == 32


def test_a_jpeg_may_bring_its_preview_behind_it() -> None:
    assert inspect(raster("JPEG") + raster("JPEG")).rows == 32


@pytest.mark.parametrize(
    "options", [{"progressive": True}, {"quality": 95, "subsampling": 0}, {"restart_marker_rows": 1}]
)
def test_the_end_of_a_jpeg_is_found_whatever_its_coding(options: dict[str, int]) -> None:
    out = BytesIO()
    Image.effect_noise((200, 120), 90).save(out, "JPEG", **options)
    refuse_polyglot(out.getvalue(), "image/jpeg")
    with pytest.raises(UnreadableFile):
        refuse_polyglot(out.getvalue() + b"PK\x03\x04", "image/jpeg")


def test_no_real_dicom_file_is_taken_for_a_polyglot(shared_data: Path) -> None:
    theirs = Path(pydicom.data.__file__).parent / "test_files"
    files = [p for folder in (theirs, shared_data / "dicom") for p in folder.rglob("*.dcm")]
    assert len(files) > 50
    for path in files:
        data = path.read_bytes()
        if data and media_type(data) == "application/dicom":
            refuse_polyglot(data, "application/dicom")
