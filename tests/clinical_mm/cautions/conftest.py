"""Synthetic cases that several checks are tried on."""

from __future__ import annotations

import numpy as np
import pytest

from clinical_mm.case import Case
from clinical_mm.phantom import draw
from clinical_mm.phantom.measurements import draw_vitals
from clinical_mm.phantom.model import STATES


@pytest.fixture(scope="session")
def drawn() -> list[Case]:
    """Sixty synthetic cases, as the phantom draws them."""
    return [d.case for d in draw(60, seed=21)]


def many_vitals(count: int, seed: int) -> list[dict[str, float]]:
    """Vitals of patients of any age and state, without the films that take long to draw."""
    rng = np.random.default_rng(seed)
    states, ages = rng.integers(len(STATES), size=count), rng.uniform(30, 95, size=count)
    return [draw_vitals(rng, int(s), float(a), bool(rng.integers(2))) for s, a in zip(states, ages, strict=True)]
