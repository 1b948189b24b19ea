"""Evidence unlike the training part, judged in the encoder's space."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clinical_mm.answers import Caution
from clinical_mm.catalogue import Catalogue
from clinical_mm.cautions.region import FEWEST_HELD_BACK, MOST_REFERENCES, Region
from clinical_mm.cautions.unlike_training import UnlikeTraining
from tests.clinical_mm.cautions.seeing import seen, told

WIDTH = 24
DIRECTIONS = np.random.default_rng(1).normal(size=(6, WIDTH))


def like_training(count: int, seed: int) -> np.ndarray:
    """Mean tokens that vary along six directions alone, as an encoder's do, and a little everywhere."""
    rng = np.random.default_rng(seed)
    return (2 + rng.normal(size=(count, 6)) @ DIRECTIONS + 0.05 * rng.normal(size=(count, WIDTH))).astype(np.float32)


def turned(count: int, seed: int) -> np.ndarray:
    """As long as those of training and of the same mean, but along other directions."""
    tokens = like_training(count, seed)
    return 2 + (tokens - 2)[:, np.random.default_rng(2).permutation(WIDTH)]


def region(taught: int = 200, held_back: int = 150) -> Region:
    found = Region.of(like_training(taught, 10), like_training(held_back, 11))
    assert found is not None
    return found


@pytest.fixture
def check(catalogue: Catalogue) -> UnlikeTraining:
    found = UnlikeTraining(("imaging", "text"), catalogue)
    nothing = np.zeros((0, WIDTH), np.float32)
    found.fit_states(
        {"imaging": like_training(200, 10), "text": nothing}, {"imaging": like_training(150, 11), "text": nothing}
    )
    return found


def of(check: UnlikeTraining, name: str, token: np.ndarray) -> list[Caution]:
    return told(check, replace(seen(note="any"), states={name: token}))


def test_about_one_in_a_hundred_of_the_same_kind_is_called_strange() -> None:
    known = region(held_back=400)
    strange = [known.is_strange(float(s)) for s in known.strangeness(like_training(2000, 12))]
    assert 0.002 < np.mean(strange) < 0.03


def test_with_few_validation_cases_only_what_is_beyond_them_all_is_strange() -> None:
    known = region(held_back=60)
    assert not known.is_strange(float(known.held_back[-1]))
    assert known.is_strange(float(known.held_back[-1]) + 1e-3)


def test_what_leaves_the_directions_of_training_is_strange_though_no_longer_than_others() -> None:
    known = region()
    assert np.mean([known.is_strange(float(s)) for s in known.strangeness(turned(200, 13))]) > 0.95


def test_a_gap_between_two_clusters_is_strange_though_it_is_the_center() -> None:
    rng = np.random.default_rng(3)
    ends = np.zeros((2, WIDTH), np.float32)
    ends[0, 0], ends[1, 1] = 5, 5
    taught, held_back = (
        (ends[np.arange(n) % 2] + 0.1 * rng.normal(size=(n, WIDTH))).astype(np.float32) for n in (200, 150)
    )
    known = Region.of(taught, held_back)
    assert known is not None
    assert known.is_strange(float(known.strangeness(ends.mean(0)[None])[0]))


def test_it_tells_how_many_cases_lay_as_far_away(check: UnlikeTraining) -> None:
    [caution] = of(check, "imaging", turned(1, 13)[0])
    assert caution.code == "image-unlike-training"
    assert caution.detail == (
        "the image is unlike the images that the model learned from: "
        "of 150 cases held back in training none lay as far away"
    )


def test_a_case_like_those_of_training_raises_nothing(check: UnlikeTraining) -> None:
    assert of(check, "imaging", like_training(200, 10).mean(0) + DIRECTIONS[0].astype(np.float32)) == []


def test_a_modality_that_too_few_cases_had_is_not_judged(check: UnlikeTraining) -> None:
    assert of(check, "text", np.full(WIDTH, 1e3, np.float32)) == []
    assert Region.of(like_training(200, 0), like_training(FEWEST_HELD_BACK - 1, 1)) is None


def test_a_channel_that_never_moved_in_training_raises_nothing_by_rounding(check: UnlikeTraining) -> None:
    taught, held_back = like_training(200, 10), like_training(150, 11)
    taught[:, 0], held_back[:, 0] = 0.5, 0.5
    known = Region.of(taught, held_back)
    assert known is not None
    one = taught.mean(0, keepdims=True)
    one[:, 0] += 1e-5
    assert not known.is_strange(float(known.strangeness(one)[0]))


def test_references_are_bounded_and_evenly_chosen() -> None:
    taught = like_training(MOST_REFERENCES + 500, 4)
    known = Region.of(taught, like_training(100, 5))
    assert known is not None
    assert len(known.references) == MOST_REFERENCES
    last = taught[-1] / np.linalg.norm(taught[-1])
    np.testing.assert_allclose(known.references[-1], last, atol=1e-3)
