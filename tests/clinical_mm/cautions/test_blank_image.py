"""Pictures that show nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clinical_mm.case import Case
from clinical_mm.catalogue import Catalogue
from clinical_mm.cautions.base import Seen
from clinical_mm.cautions.blank_image import BlankImage
from clinical_mm.modalities.imaging import Imaging
from tests.clinical_mm.cautions.seeing import SIDE, seen_images, told

RNG = np.random.default_rng(0)
GREY = np.full((SIDE, SIDE), 0.5)
RAMP = np.linspace(0, 1, SIDE * SIDE).reshape(SIDE, SIDE).T
SPECK = np.where(np.arange(SIDE * SIDE).reshape(SIDE, SIDE) < 20, 0.5, 0.0)
STRIPES = np.where(np.indices((SIDE, SIDE))[0] % 8 < 4, 1.0, 0.0)


@pytest.fixture
def check(catalogue: Catalogue) -> BlankImage:
    return BlankImage(("imaging",), catalogue)


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (GREY, "is of one brightness"),
        (SPECK, "is black (98% of it)"),
        (1 - SPECK, "is white (98% of it)"),
        (STRIPES, "has hardly more than two brightnesses"),
        (RNG.random((SIDE, SIDE)), "is noise without any structure"),
    ],
)
def test_a_picture_that_shows_nothing_is_told_and_why(check: BlankImage, pixels: np.ndarray, words: str) -> None:
    [caution] = told(check, seen_images(RAMP, pixels))
    assert caution.code == "blank-image"
    assert caution.detail == f"image 2 {words}: what the model says of it means nothing"


def test_padding_around_a_narrow_picture_does_not_count(check: BlankImage) -> None:
    narrow = np.zeros((SIDE, SIDE))
    narrow[:, 12:20] = RAMP[:, ::4]
    case = seen_images(narrow)
    sample = dict(case.sample["imaging"] or {})
    sample["origin"] = np.array([[[0, 0, 400, 100]]])
    assert told(check, Seen(case.case, {"imaging": sample})) == []


def test_drawn_films_show_something_at_any_size(check: BlankImage, drawn: list[Case]) -> None:
    films = [case for case in drawn if case.images][:15]
    for side in (32, 96, 224):
        imaging = Imaging({"size": [side, side]}, check.catalogue)
        assert [told(check, Seen(case, {"imaging": imaging.read(case)})) for case in films] == [[]] * len(films)


@pytest.mark.parametrize("folder", ["cxr_cases/images", "hannover_labs/images"])
def test_real_films_show_something(check: BlankImage, shared_data: Path, folder: str) -> None:
    paths = sorted((shared_data / folder).iterdir())[:25]
    imaging = Imaging({"size": [96, 96]}, check.catalogue)
    cases = [Case.from_files(images=[path]) for path in paths]
    assert [told(check, Seen(case, {"imaging": imaging.read(case)})) for case in cases] == [[]] * len(paths)
