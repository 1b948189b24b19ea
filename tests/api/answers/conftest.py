"""A project with a model that serves and cases to ask it about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from clinical_mm.case import Case
from clinical_mm.phantom import draw


@pytest.fixture(scope="session")
def whole_case() -> Case:
    drawn = next(d.case for d in draw(60, 5) if d.case.images and d.case.note and d.case.vitals)
    return replace(drawn, diagnoses=None)


@pytest.fixture
def model_id(services: Any, trained_bundle: Path) -> str:
    """The project's first model: it serves at once."""
    operator = services.access.operator("default")
    return str(services.models.register(operator, None, trained_bundle, "tiny").id)


@pytest.fixture
def case_id(services: Any, whole_case: Case) -> str:
    return str(services.cases.submit_case(services.access.operator("default"), whole_case).id)


@pytest.fixture
def predicted(client: httpx.Client, model_id: str, case_id: str) -> dict[str, Any]:
    return dict(client.post(f"/cases/{case_id}/predictions").raise_for_status().json())


@pytest.fixture
def stranger(client_as: Callable[[str], httpx.Client]) -> httpx.Client:
    return client_as("stranger")
