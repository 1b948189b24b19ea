"""A project whose model was taught by stored cases, some months ago."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from api.cases.tables import CaseRow
from api.ground.clock import now
from clinical_mm.bundle_layout import MANIFEST
from clinical_mm.case import Case
from clinical_mm.manifest import Manifest
from clinical_mm.phantom import draw


@pytest.fixture(scope="module")
def notes_and_vitals() -> list[Case]:
    """Eighty synthetic cases with heart rate and oxygen saturation, without images so that storing them is quick."""
    drawn = (d.case for d in draw(300, 11) if {"spo2", "heart_rate"} <= set(d.case.vitals) and d.case.note)
    return [replace(case, images=(), diagnoses=None) for case in drawn][:80]


@pytest.fixture
def taught(services: Any, model: str, notes_and_vitals: list[Case]) -> list[str]:
    """Forty stored cases that taught the serving model, some months ago."""
    return teach(services, model, notes_and_vitals[:40])


def teach(services: Any, model: str, cases: list[Case]) -> list[str]:
    """Store cases as if they had taught the model; their ids."""
    ids = store(services, cases)
    age(services, CaseRow, ids, days=200)
    path = services.models.bundle_folder(model) / MANIFEST
    path.unlink()  # a hard link to the bundle that other tests read
    Manifest.of(cases, ids, {"train": ids}).save(path)
    return ids


def store(services: Any, cases: list[Case]) -> list[str]:
    admin = services.access.operator("default")
    return [services.cases.submit_case(admin, case).id for case in cases]


def age(services: Any, table: Any, ids: list[str], days: float) -> None:
    with services.ground.database.transaction() as session:
        session.execute(update(table).where(table.id.in_(ids)).values(created_at=now() - timedelta(days=days)))


def verdicts(report: dict[str, Any], part: str) -> dict[str, str]:
    return {one["feature"]: one["verdict"] for one in report[part]}
