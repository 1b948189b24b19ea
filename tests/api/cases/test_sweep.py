"""Blobs of no case are removed, and never one that a case names or is about to name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection, insert
from sqlalchemy.exc import OperationalError

from api import serve
from api.cases import sweep
from api.cases.sweep import discard_unused, sweep_orphans
from api.cases.tables import BlobUseRow
from tests.api.cases.test_submit import multipart
from tests.api.conftest import ON_POSTGRESQL, case_json, png, until_it_waits
from tests.api.stored import Stored, state_of

Removal = Callable[[Any, httpx.Client, str, str], object]


def test_the_sweep_removes_what_a_crash_left_and_nothing_else(
    client: httpx.Client, services: Any, stored: Stored, tmp_path: Path
) -> None:
    case = client.post("/cases", **multipart(case_json(), ("a.png", png(1)))).json()
    before = state_of(stored)
    services.ground.blobs.put(b"written for a case that never was")
    assert state_of(stored) != before
    assert sweep_orphans(services.ground) == 1
    assert state_of(stored) == before
    assert client.get(f"/cases/{case['id']}/files/0").content == png(1)


@contextmanager
def unfinished(services: Any, case: str, *digests: str) -> Iterator[Connection]:
    """What PostgreSQL still does for a process that was killed while it stored a case with these blobs."""
    with services.ground.database.engine.connect() as connection:
        connection.execute(insert(BlobUseRow), [{"case_id": case, "sha256": digest} for digest in digests])
        yield connection


@ON_POSTGRESQL
@pytest.mark.parametrize(
    "remove",
    [
        pytest.param(lambda services, *_: sweep_orphans(services.ground), id="the sweep at start"),
        pytest.param(lambda services, _, __, digest: discard_unused(services.ground, {digest}), id="after a refusal"),
        pytest.param(lambda _, admin, case, __: admin.delete(f"/cases/{case}"), id="erasing a case"),
        pytest.param(lambda _, admin, __, ___: admin.post("/erasures", json={"patient": "gone"}), id="of a patient"),
    ],
)
def test_what_a_killed_process_had_asked_to_store_keeps_its_files(
    services: Any, client_as: Callable[[str], httpx.Client], remove: Removal
) -> None:
    client, admin = client_as("clinician"), client_as("admin")
    named = case_json(external_id="gone", patient={"id": "gone"})
    gone = client.post("/cases", **multipart(named, ("a.png", png(1)))).json()
    case = client.post("/cases", json=case_json()).json()["id"]
    shared, fresh = gone["files"][0]["sha256"], services.ground.blobs.put(png(2))
    engine = services.ground.database.engine
    with (
        ThreadPoolExecutor(1) as pool,
        unfinished(services, case, shared, fresh) as theirs,
        engine.connect() as looking,
    ):
        removal = pool.submit(remove, services, admin, gone["id"], fresh)
        until_it_waits(removal, looking)
        theirs.commit()
    removal.result()
    assert services.ground.blobs.get(shared) == png(1)
    assert services.ground.blobs.get(fresh) == png(2)


@ON_POSTGRESQL
def test_a_transaction_that_does_not_end_keeps_nobody_from_starting(
    services: Any, client: httpx.Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sweep, "PATIENCE_AT_START_S", 0.05)
    case = client.post("/cases", json=case_json()).json()["id"]
    digest = services.ground.blobs.put(b"of a case that is being stored")
    with unfinished(services, case, digest):
        with pytest.raises(OperationalError):
            sweep_orphans(services.ground)
        discard_unused(services.ground, {digest})
        serve._tidy(services.ground.settings)
    assert "looked for at the next start" in capsys.readouterr().out
    assert services.ground.blobs.exists(digest)
