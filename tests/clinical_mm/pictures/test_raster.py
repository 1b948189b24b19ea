from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clinical_mm.pictures import media_type, read_picture
from tests.clinical_mm.pictures.dicoms import dicom, ramp


@pytest.mark.parametrize(("dtype", "top"), [("uint8", 255), ("uint16", 65535)])
def test_a_grey_png_keeps_its_values(dtype: str, top: int) -> None:
    picture = read_picture(raster(ramp(top=top, dtype=dtype), "PNG"))
    np.testing.assert_array_equal(picture.frames[0], ramp(top=top, dtype=dtype))
    assert picture.default_window == ((top + 1) / 2, top + 1)


def test_grey_in_three_channels_is_grey() -> None:
    picture = read_picture(raster(np.repeat(ramp(top=255, dtype="uint8")[..., None], 3, axis=2), "PNG"))
    assert picture.rgb is None
    np.testing.assert_array_equal(picture.frames[0], ramp(top=255, dtype="uint8"))


def test_a_coloured_jpeg_keeps_its_colours() -> None:
    pixels = np.full((16, 16, 3), (200, 30, 30), dtype="uint8")
    picture = read_picture(raster(pixels, "JPEG", quality=95))
    assert picture.rgb is not None
    assert np.abs(picture.rgb[0].astype(int) - pixels).max() < 6


def test_a_photograph_is_turned_as_its_exif_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read_picture(raster(ramp(10, 20, top=255, dtype="uint8"), "JPEG", exif=exif)).size == (20, 10)


def test_transparency_and_palettes_are_read() -> None:
    image = Image.fromarray(ramp(top=255, dtype="uint8"))
    for mode in ("P", "RGBA", "LA", "1"):
        out = BytesIO()
        image.convert(mode).save(out, "PNG")
        assert read_picture(out.getvalue()).size == (24, 32)


def test_the_kind_comes_from_the_bytes() -> None:
    grey = ramp(top=255, dtype="uint8")
    kinds = [media_type(data) for data in (raster(grey, "PNG"), raster(grey, "JPEG"), dicom(grey))]
    assert kinds == ["image/png", "image/jpeg", "application/dicom"]


def raster(pixels: np.ndarray, kind: str, **options: Any) -> bytes:
    out = BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()
