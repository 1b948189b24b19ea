"""Each ordeal in its short form: the long one is ``make torture``."""

from __future__ import annotations

import importlib

import pytest

from torture.__main__ import ORDEALS

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ORDEALS)
def test_the_service_survives(name: str) -> None:
    faults = importlib.import_module(f"torture.{name}").run(short=True).faults
    assert not faults, "\n".join(faults)
