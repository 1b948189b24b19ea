"""While the ground is away a caller is told so and may come again; what was there before is there after."""

from __future__ import annotations

import errno
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.ground.blobs import Blobs
from api.ground.spool import SpoolFile
from tests.api.cases.test_submit import multipart
from tests.api.conftest import case_json, png
from tests.api.stored import Stored, state_of


def test_a_full_disk_is_507_stores_nothing_and_is_over_when_there_is_room(
    client: httpx.Client, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state_of(stored)
    link = Blobs._link

    def full(self: Blobs, source: Path, path: Path) -> None:
        if source.read_bytes() == png(2):
            raise OSError(errno.ENOSPC, "No space left on device")
        link(self, source, path)

    with monkeypatch.context() as patched:
        patched.setattr(Blobs, "_link", full)
        answer = client.post("/cases", **multipart(case_json(), ("a.png", png(1)), ("b.png", png(2))))
        assert answer.status_code == 507, answer.text
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert state_of(stored) == before, "the first file is taken away again"
        assert client.get("/cases").status_code == 200
    assert client.post("/cases", **multipart(case_json(), ("b.png", png(2)))).status_code == 201


def test_a_disk_that_fills_while_a_file_comes_in_is_507_and_leaves_nothing(
    client: httpx.Client, stored: Stored, services: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, write = state_of(stored), SpoolFile.write

    def full(self: SpoolFile, data: bytes) -> int:
        if self.tell() > 200_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, data)

    with monkeypatch.context() as patched:
        patched.setattr(SpoolFile, "write", full)
        answer = client.post("/cases", **multipart(case_json(), ("a.png", png(1)), ("b.png", png(2, 1000))))
        assert answer.status_code == 507, answer.text
    assert state_of(stored) == before
    assert list(services.ground.settings.spool_folder.iterdir()) == []


def test_another_fault_of_the_disk_is_a_500_problem_without_its_path(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/secret/place")

    monkeypatch.setattr(Blobs, "_link", broken)
    answer = client.post("/cases", **multipart(case_json(), ("a.png", png())))
    assert (answer.status_code, answer.headers["Content-Type"]) == (500, "application/problem+json")
    assert "secret" not in answer.text


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_a_reader_does_not_wait_for_a_writer(client: httpx.Client, services: Any) -> None:
    case = client.post("/cases", json=case_json()).json()["id"]
    with services.ground.database.transaction() as session:
        services.cases.row(session, _project(services), case, lock=True)
        started = time.monotonic()
        assert client.get(f"/cases/{case}").status_code == 200
        assert time.monotonic() - started < 5


def _project(services: Any) -> str:
    from sqlalchemy import select

    from api.access.tables import ProjectRow

    with services.ground.database.reading() as session:
        return str(session.scalar(select(ProjectRow.id).where(ProjectRow.name == "default")))


@pytest.mark.parametrize("prepared", [pytest.param("postgresql", marks=pytest.mark.postgresql)], indirect=True)
def test_a_database_that_is_away_is_503_and_back_without_a_restart(
    client: httpx.Client, server_url: str, postgresql_server: str, services: Any
) -> None:
    import psycopg

    case = client.post("/cases", json=case_json()).json()["id"]
    name = services.ground.database.engine.url.database
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        answer = client.get(f"/cases/{case}")
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["Retry-After"]) > 0
        assert httpx.get(f"{server_url}/readyz").status_code == 503
        assert httpx.get(f"{server_url}/healthz").status_code == 200
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    assert client.get(f"/cases/{case}").status_code == 200
