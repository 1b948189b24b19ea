"""Pixels are measured once, when a case is stored; older files can be measured afterwards."""

from __future__ import annotations

from typing import Any

import httpx
from sqlalchemy import select

from api.cases.measuring import measure, unmeasured
from api.cases.tables import CaseFileRow
from tests.api.cases.test_submit import multipart
from tests.api.conftest import case_json, png


def forget(services: Any, *cases: str) -> None:
    """As if the files had been stored before pixels were measured."""
    with services.ground.database.transaction() as session:
        for row in session.scalars(select(CaseFileRow).where(CaseFileRow.case_id.in_(cases))):
            row.attributes = {key: value for key, value in row.attributes.items() if key != "pixels"}


def test_a_stored_image_carries_its_statistics(client: httpx.Client) -> None:
    case = client.post("/cases", **multipart(case_json(), ("noise.png", png()))).json()
    pixels = case["files"][0]["attributes"]["pixels"]
    assert 0.4 < pixels["brightness"] < 0.6
    assert pixels["sharpness"] > 4, "noise alone"
    assert set(pixels) == {"brightness", "contrast", "sharpness", "dark", "saturated"}


def test_what_was_stored_before_is_measured_once_and_stays_at_its_version(client: httpx.Client, services: Any) -> None:
    old = client.post("/cases", **multipart(case_json(), ("a.png", png(1)), ("b.png", png(2)))).json()
    client.post("/cases", **multipart(case_json(external_id="acc-2"), ("c.png", png(3))))
    forget(services, old["id"])
    project = services.access.operator("default").project_id
    assert unmeasured(services.ground, project) == [(old["id"], 0), (old["id"], 1)]
    assert [measure(services.ground, *file) for file in unmeasured(services.ground, project)] == [None, None]
    assert client.get(f"/cases/{old['id']}").json() == old
    assert unmeasured(services.ground, project) == []


def test_a_file_that_is_gone_is_told_and_one_that_was_erased_is_not(client: httpx.Client, services: Any) -> None:
    case = client.post("/cases", **multipart(case_json(), ("a.png", png(1)))).json()
    forget(services, case["id"])
    services.ground.blobs.delete(case["files"][0]["sha256"])
    assert str(measure(services.ground, case["id"], 0)).startswith(f"case {case['id']}, file 0: ")
    client.delete(f"/cases/{case['id']}")
    assert measure(services.ground, case["id"], 0) is None
