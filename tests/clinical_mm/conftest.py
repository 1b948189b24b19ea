"""What tests of the core share."""

from __future__ import annotations

from pathlib import Path

import pytest

from clinical_mm.case import Case
from clinical_mm.catalogue import Catalogue
from clinical_mm.phantom import PhantomCase, draw
from clinical_mm.predictor import Predictor, load_model


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return Catalogue.load()


@pytest.fixture(scope="session")
def predictor(trained_bundle: Path) -> Predictor:
    return load_model(trained_bundle, device="cpu")


@pytest.fixture(scope="session")
def whole() -> PhantomCase:
    """A synthetic case with an image, a note and vitals, and at least one diagnosis."""
    drawn = (d for d in draw(50, seed=1) if d.case.images and d.case.note and d.case.vitals and d.case.diagnoses)
    return next(drawn)


@pytest.fixture(scope="session")
def case(whole: PhantomCase) -> Case:
    return whole.case
