"""The short form of ``python -m benchmarks memory`` (target S10): three hundred predictions more leave nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.access.service import Role
from api.ground.migrate import upgrade
from api.services import build
from benchmarks import memory
from benchmarks.workspace import served
from clinical_mm.phantom import draw
from tests.api.conftest import BareSettings

BEFORE, AFTER = 100, 400


@pytest.mark.slow
def test_memory_is_where_it_was_after_three_hundred_more_predictions(
    tmp_path: Path, trained_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = BareSettings(workspace=tmp_path / "workspace")
    upgrade(settings)
    services = build(settings)
    admin = services.access.operator("default")
    services.models.register(admin, None, trained_bundle, "tiny")
    for drawn in draw(20, seed=1):
        services.cases.submit_case(admin, drawn.case, synthetic=True)
    key = services.access.create_key(admin, Role.CLINICIAN, "memory")[1]
    services.close()
    monkeypatch.setattr(memory, "MARKS", (BEFORE, AFTER))
    with served(settings.workspace, memory.CLIENTS) as address:
        resident = dict(memory.measured(address, key))
    assert resident[AFTER] / resident[BEFORE] < 1.05
