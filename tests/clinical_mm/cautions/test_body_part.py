"""Wrong body part: what the header tells against what training images told."""

from __future__ import annotations

import numpy as np
import pytest

from clinical_mm.case import Case
from clinical_mm.catalogue import Catalogue
from clinical_mm.cautions.base import Seen
from clinical_mm.cautions.body_part import BodyPart
from clinical_mm.modalities.imaging import Imaging
from tests.clinical_mm.cautions.seeing import SIDE, seen, seen_images, told
from tests.clinical_mm.pictures.dicoms import dicom

PICTURE = np.zeros((SIDE, SIDE))


def image_of(part: str, modality: str) -> Seen:
    return seen_images(PICTURE, kinds=[(part, modality)])


@pytest.fixture
def chest(catalogue: Catalogue) -> BodyPart:
    """Learned from chest films, some of which tell nothing."""
    check = BodyPart(("imaging",), catalogue)
    check.fit([image_of("CHEST", "DX"), image_of("CHEST", "DX"), image_of("", ""), seen(note="no image")])
    return check


@pytest.mark.parametrize(("part", "modality"), [("HAND", "DX"), ("", "CT"), ("CHEST", "CT"), ("Skull", "")])
def test_another_body_part_or_modality_is_told_with_what_was_seen(chest: BodyPart, part: str, modality: str) -> None:
    [caution] = told(chest, image_of(part, modality))
    assert caution.code == "unseen-body-part"
    assert caution.detail.endswith("the model has seen CHEST (modality DX)")


def test_the_image_is_named_by_its_number(chest: BodyPart) -> None:
    two = seen_images(PICTURE, PICTURE, kinds=[("CHEST", "DX"), ("HAND", "DX")])
    [caution] = told(chest, two)
    assert caution.detail == "image 2 is of HAND (modality DX); the model has seen CHEST (modality DX)"


@pytest.mark.parametrize(
    ("part", "modality"), [("CHEST", "DX"), ("chest", "CR"), ("THORAX", "DX"), ("CHEST PA", ""), ("", ""), ("", "OT")]
)
def test_the_same_in_other_words_and_files_that_tell_nothing_are_fine(
    chest: BodyPart, part: str, modality: str
) -> None:
    assert told(chest, image_of(part, modality)) == []


def test_training_images_without_tags_teach_nothing(catalogue: Catalogue) -> None:
    check = BodyPart(("imaging",), catalogue)
    check.fit([image_of("", "")] * 5)
    assert told(check, image_of("HAND", "DX")) == []


def test_tags_that_never_stood_together_are_compared_alone(catalogue: Catalogue) -> None:
    check = BodyPart(("imaging",), catalogue)
    check.fit([image_of("CHEST", ""), image_of("", "DX")])
    assert told(check, image_of("CHEST", "DX")) == []
    assert told(check, image_of("HAND", "DX")) != []


def test_the_header_of_a_real_file_reaches_the_check(chest: BodyPart) -> None:
    ramp = np.arange(48 * 48, dtype=np.uint16).reshape(48, 48)
    data = dicom(ramp, Modality="DX", BodyPartExamined="HAND")
    case = Case.from_files(images=[data])
    read = Imaging({"size": [32, 32]}, chest.catalogue).read(case)
    [caution] = told(chest, Seen(case, {"imaging": read}))
    assert "HAND" in caution.detail
