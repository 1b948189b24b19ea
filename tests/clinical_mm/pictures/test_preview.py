from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from clinical_mm.pictures import Picture, frame_raw, heatmap_png, preview_png, read_picture
from clinical_mm.pictures.windows import apply_window
from tests.clinical_mm.pictures.dicoms import dicom, ramp


def test_a_preview_is_windowed_and_no_longer_than_asked() -> None:
    image = shown(preview_png(read_picture(dicom(ramp(100, 50))), window=(2000, 4000), size=40))
    assert image.size == (20, 40)
    assert image.getpixel((0, 0)) < 5
    assert image.getpixel((19, 39)) > 245


def test_a_preview_of_a_small_picture_is_not_enlarged() -> None:
    assert shown(preview_png(read_picture(dicom(ramp(10, 20))), size=512)).size == (20, 10)


def test_a_narrow_window_turns_values_black_and_white() -> None:
    image = np.asarray(shown(preview_png(read_picture(dicom(ramp())), window=(2000, 1))))
    assert set(np.unique(image)) <= {0, 127, 128, 255}


def test_colour_is_shown_in_colour() -> None:
    pixels = np.zeros((4, 4, 3), dtype="uint8")
    pixels[..., 2] = 250
    assert shown(preview_png(read_picture(dicom(pixels)))).getpixel((0, 0)) == (0, 0, 250)


@pytest.mark.parametrize(
    "show", [lambda p: preview_png(p, frame=1), lambda p: frame_raw(p, 1), lambda p: preview_png(p, frame=-1)]
)
def test_a_frame_that_is_not_there_is_an_index_error(show) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(IndexError):
        show(read_picture(dicom(ramp())))


def test_a_heat_map_is_warm_for_cool_against_and_clear_elsewhere() -> None:
    values = np.zeros((9, 9), dtype=np.float32)
    values[0, 0], values[8, 8] = 1.0, -1.0
    image = np.asarray(shown(heatmap_png(values, width=9, height=9)))
    red, blue, clear = image[0, 0], image[8, 8], image[4, 4]
    assert red[0] > red[2]
    assert red[3] > 100
    assert blue[2] > blue[0]
    assert blue[3] > 100
    assert clear[3] == 0


def test_a_heat_map_without_attribution_is_clear() -> None:
    assert np.asarray(shown(heatmap_png(np.zeros((4, 4), np.float32), width=8, height=6)))[..., 3].max() == 0


@given(arrays.arrays(np.int16, (1, 3, 5)))
def test_raw_whole_values_come_back_exactly(values: np.ndarray) -> None:
    picture = a_picture(values.astype(np.float32))
    data, rows, columns, slope, intercept = frame_raw(picture)
    back = np.frombuffer(data, "<u2").reshape(rows, columns) * slope + intercept
    np.testing.assert_array_equal(back, values[0])


@given(arrays.arrays(np.float32, (2, 3, 4), elements=st.floats(-1e6, 1e6, width=32)))
def test_raw_fractions_come_back_within_half_a_step(values: np.ndarray) -> None:
    picture = a_picture(values)
    data, rows, columns, slope, intercept = frame_raw(picture, 1)
    back = np.frombuffer(data, "<u2").reshape(rows, columns) * slope + intercept
    assert np.abs(back - values[1]).max() <= slope * 0.51


@pytest.mark.parametrize(
    ("function", "value", "expected"),
    [
        ("LINEAR", 2048, 0.5 + 0.5 / 4095),  # PS3.3 C.11.2.1.2.1, example: c = 2048, w = 4096
        ("LINEAR", 0, 0.0),
        ("LINEAR", 4095, 1.0),
        ("LINEAR_EXACT", 1024, 0.25),
        ("SIGMOID", 2048, 0.5),
    ],
)
def test_windows_follow_the_standard(function: str, value: float, expected: float) -> None:
    shown_value = apply_window(np.array([value]), 2048, 4096, function)[0]  # type: ignore[arg-type]
    assert shown_value == pytest.approx(expected, abs=1e-6)


@given(st.floats(-2000, 3000), st.floats(-500, 500), st.floats(1, 4000))
def test_brightness_stays_between_black_and_white(value: float, center: float, width: float) -> None:
    for function in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        assert 0 <= apply_window(np.array([value]), center, width, function)[0] <= 1  # type: ignore[arg-type]


def a_picture(frames: np.ndarray) -> Picture:
    return Picture(
        frames=frames,
        media_type="image/png",
        default_window=(0.0, 1.0),
        value_range=(float(frames.min()), float(frames.max())),
    )


def shown(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data))
