"""Pixel statistics move with what they are named for, and hardly with the rest."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from clinical_mm.pictures import Picture, pixel_statistics, read_picture
from tests.clinical_mm.pictures.dicoms import dicom, ramp


def film(seed: int = 0, size: int = 200) -> np.ndarray:
    """Something smooth with some grain, most of it between 500 and 1500."""
    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.normal(size=(size, size)), size / 12)
    return (1000 + 200 * smooth / smooth.std() + rng.normal(scale=20, size=(size, size))).astype(np.float32)


def measured(*frames: np.ndarray, window: tuple[float, float] = (1000, 2000)) -> dict[str, float]:
    values = np.stack(frames)
    whole = (float(values.min()), float(values.max()))
    return pixel_statistics(Picture(values, "application/dicom", window, whole, voi_function="LINEAR_EXACT"))


def test_a_picture_of_two_halves_is_measured_by_hand() -> None:
    halves = np.zeros((20, 20), np.float32)
    halves[:, 10:] = 2000
    assert measured(halves) == {
        "brightness": 0.5,
        "contrast": 0.5,
        "sharpness": pytest.approx(2 * np.sqrt(2 / 18), abs=1e-5),  # the Laplacian is 1 and -1 at the border, else 0
        "dark": 0.5,
        "saturated": 0.5,
    }


def test_more_light_moves_the_brightness_alone() -> None:
    before, after = measured(film()), measured(film() + 100)
    assert after["brightness"] == pytest.approx(before["brightness"] + 0.05, abs=1e-3)
    assert after["contrast"] == pytest.approx(before["contrast"], rel=0.02)
    assert after["sharpness"] == pytest.approx(before["sharpness"], rel=0.02)


def test_less_contrast_leaves_the_sharpness() -> None:
    before, after = measured(film()), measured(1000 + (film() - 1000) / 2)
    assert after["contrast"] == pytest.approx(before["contrast"] / 2, rel=0.02)
    assert after["sharpness"] == pytest.approx(before["sharpness"], rel=0.02)


def test_a_blur_is_less_sharp_and_noise_is_sharper() -> None:
    sharp = measured(film())["sharpness"]
    assert measured(gaussian_filter(film(), 1))["sharpness"] < sharp / 2
    assert measured(film() + np.random.default_rng(1).normal(scale=60, size=(200, 200)))["sharpness"] > 1.5 * sharp


def test_a_window_that_cuts_makes_dark_and_saturated_pixels() -> None:
    wide, narrow = measured(film()), measured(film(), window=(1000, 200))
    assert wide["dark"] + wide["saturated"] < 0.05
    assert narrow["dark"] > 0.2
    assert narrow["saturated"] > 0.2


def test_frames_are_averaged_and_a_large_one_is_measured_at_the_size_of_a_small_one() -> None:
    dark, bright = np.full((30, 30), 0, np.float32), np.full((30, 30), 2000, np.float32)
    assert measured(dark, bright)["brightness"] == 0.5
    twice = film(size=400).repeat(2, 0).repeat(2, 1)  # 800 pixels
    assert measured(twice)["sharpness"] == pytest.approx(measured(film(size=400))["sharpness"], rel=1e-4)


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (2, 5000)])
def test_a_picture_too_narrow_to_have_edges_has_no_sharpness(shape: tuple[int, int]) -> None:
    found = measured(np.linspace(0, 2000, shape[0] * shape[1], dtype=np.float32).reshape(shape))
    assert found["sharpness"] == 0
    assert 0 <= found["brightness"] <= 1


def test_a_dicom_is_measured_after_its_own_window() -> None:
    plain = pixel_statistics(read_picture(dicom(ramp(), WindowCenter=2000, WindowWidth=4000)))
    darker = pixel_statistics(read_picture(dicom(ramp(), WindowCenter=4000, WindowWidth=4000)))
    assert plain["brightness"] == pytest.approx(0.5, abs=0.05)
    assert darker["brightness"] < 0.2
