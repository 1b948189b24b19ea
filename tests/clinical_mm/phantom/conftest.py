from __future__ import annotations

import pytest

from clinical_mm.phantom import PhantomCase, draw


@pytest.fixture(scope="package")
def drawn() -> list[PhantomCase]:
    return list(draw(800, seed=0))
