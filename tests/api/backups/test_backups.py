"""A backup holds everything of one moment, comes back on either database, and whole or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from api.audit.schemas import AuditQuery
from api.backups import restoring
from api.backups.archive import DamagedBackup, Manifest
from api.backups.making import Made, make
from api.backups.restoring import restore, verify
from api.ground.database import Base, Database
from api.ground.unfinished import marker
from api.problems import Conflict
from api.services import build
from api.settings import Settings
from clinical_mm.errors import InvalidConfig
from tests.api.cases.test_submit import multipart
from tests.api.conftest import BareSettings, case_json, png


@pytest.fixture
def work(client: httpx.Client, model: str, case: str) -> str:
    """Cases with files, a prediction, its explanation, reviews, a training run; gives the prediction."""
    client.post("/cases", **multipart(case_json(), ("a.png", png(1)), ("b.png", png(2)))).raise_for_status()
    said = client.post(f"/cases/{case}/predictions").raise_for_status().json()["id"]
    client.post(f"/predictions/{said}/explanations", json={}).raise_for_status()
    verdict = {"prediction": said, "verdict": "override", "diagnoses": ["pneumonia"], "comment": "see the film"}
    client.post(f"/cases/{case}/reviews", json=verdict).raise_for_status()
    client.post("/training-runs", json={"config": "small", "set": {"training.epochs": 1}}).raise_for_status()
    return str(said)


@pytest.fixture
def made(services: Any, work: str, tmp_path: Path) -> Made:
    return make(services.ground, tmp_path / "backup.tar")


@pytest.fixture
def target(empty_database_url: str, tmp_path: Path) -> Settings:
    """An empty place of its own."""
    return BareSettings(workspace=tmp_path / "restored", database_url=empty_database_url, embedded_worker=False)


@contextmanager
def opened(settings: Settings) -> Iterator[Any]:
    built = build(settings)
    try:
        yield built
    finally:
        built.close()


def rows_of(database: Database) -> dict[str, list[str]]:
    with database.engine.connect() as connection:
        return {
            table.name: [repr(tuple(row)) for row in connection.execute(select(table).order_by(*table.primary_key))]
            for table in Base.metadata.sorted_tables
        }


def files_of(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()
    }


def without_its_end(rows: dict[str, list[str]]) -> dict[str, list[str]]:
    """A backup cannot know yet when it was finished, and the end of the trail is signed anew where it goes on."""
    return {name: found for name, found in rows.items() if name not in {"backups", "audit_head"}}


@pytest.mark.slow
def test_every_row_blob_and_bundle_comes_back_on_either_database(
    services: Any, settings: Settings, made: Made, target: Settings, work: str, keys: dict[str, str]
) -> None:
    manifest = restore(target, made.path)
    assert manifest.rows["cases"] == made.cases == 2
    with opened(target) as restored:
        assert without_its_end(rows_of(restored.ground.database)) == without_its_end(rows_of(services.ground.database))
        for room in ("blobs", "models"):
            assert files_of(target.workspace / room) == files_of(settings.workspace / room)
        caller = restored.access.authenticate(keys["admin"])
        said = restored.predictions.get(caller, work)
        again = restored.predictions.create(caller, said.case_id)
        assert again.diagnoses == said.diagnoses
        assert restored.ground.database.engine.dialect.name in {"sqlite", "postgresql"}


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_ids_go_on_where_they_were_and_secrets_do_not_come_along(
    made: Made, target: Settings, keys: dict[str, str]
) -> None:
    with tarfile.open(made.path) as tar:
        assert [name for name in tar.getnames() if "secret" in name] == []
    restore(target, made.path)
    with opened(target) as restored:
        admin = restored.access.authenticate(keys["admin"])
        before = restored.audit.list(admin, AuditQuery(limit=1)).items[0].id
        restored.access.create_key(admin, admin.role, "new")
        assert restored.audit.list(admin, AuditQuery(limit=1)).items[0].id == before + 1


def test_what_comes_in_meanwhile_is_left_out_and_what_is_erased_meanwhile_too(
    services: Any, client: httpx.Client, work: str, tmp_path: Path
) -> None:
    cases = {item["external_id"]: item["id"] for item in client.get("/cases").json()["items"]}
    stages = []

    def meanwhile(stage: str, done: int, _wanted: int) -> None:
        if stage == "blobs" and "blobs" not in stages:
            client.post(
                "/cases", **multipart(case_json(external_id="zz-too-late"), ("l.png", png(9)))
            ).raise_for_status()
            client.delete(f"/cases/{cases['acc-1']}").raise_for_status()
        stages.append(stage)

    made = make(services.ground, tmp_path / "backup.tar", meanwhile)
    assert made.missing == {}
    manifest = verify(made.path)
    assert manifest.rows["cases"] == 1
    with tarfile.open(made.path) as tar:
        tar.extract("database.sqlite", tmp_path, filter="data")
    assert b"acc-1" not in (tmp_path / "database.sqlite").read_bytes()
    assert b"zz-too-late" not in (tmp_path / "database.sqlite").read_bytes()


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_a_blob_that_the_store_has_lost_is_named_and_the_rest_is_saved(
    services: Any, work: str, tmp_path: Path, target: Settings
) -> None:
    lost, spoilt = hashlib.sha256(png(1)).hexdigest(), hashlib.sha256(png(2)).hexdigest()
    services.ground.blobs.path(lost).unlink()
    services.ground.blobs.path(spoilt).write_bytes(b"other bytes")
    made = make(services.ground, tmp_path / "backup.tar")
    assert set(made.missing) == {lost, spoilt}
    assert restore(target, made.path).rows["cases"] == 2


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_the_files_of_an_import_that_waits_come_along(
    services: Any, client: httpx.Client, tmp_path: Path, target: Settings
) -> None:
    sent = [("cases", ("cases.jsonl", json.dumps({**case_json(), "files": ["1.png"]}).encode(), "text/plain"))]
    sent += [("files", (name, data, "image/png")) for name, data in (("1.png", png(1)), ("2.png", png(2)))]
    client.post("/case-imports", files=sent).raise_for_status()
    lost = hashlib.sha256(png(2)).hexdigest()
    services.ground.blobs.path(lost).unlink()
    made = make(services.ground, tmp_path / "backup.tar")
    assert made.missing == {lost: []}
    verify(made.path)
    restore(target, made.path)
    with opened(target) as restored:
        assert restored.ground.blobs.get(hashlib.sha256(png(1)).hexdigest()) == png(1)


def spoilt(path: Path, how: str) -> Path:
    """A copy of a backup with something wrong."""
    copy = path.with_name(f"{how}.tar")
    if how == "cut off":
        copy.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif how == "one bit":
        data = bytearray(path.read_bytes())
        data[data.index(b"\x89PNG") + 60] ^= 1
        copy.write_bytes(data)
    else:
        shutil.copy(path, copy)
        with tarfile.open(copy, "a") as tar:
            tar.add(__file__, {"climbs out": "models/../../out", "one more": "models/extra"}[how])
    return copy


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
@pytest.mark.parametrize("how", ["cut off", "one bit", "one more", "climbs out"])
def test_a_damaged_backup_is_told_and_leaves_the_place_empty(made: Made, target: Settings, how: str) -> None:
    damaged = spoilt(made.path, how)
    with pytest.raises(DamagedBackup):
        verify(damaged)
    with pytest.raises(DamagedBackup):
        restore(target, damaged)
    assert [p for p in target.workspace.rglob("*") if p.is_file() and p.suffix != ".lock"] == []
    assert restore(target, made.path).rows["cases"] == 2


def test_something_that_is_no_backup_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"hello" * 1000)
    with pytest.raises(DamagedBackup, match="no backup"):
        verify(tmp_path / "x.tar")


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_a_place_where_something_is_stored_is_refused(made: Made, settings: Settings, target: Settings) -> None:
    with pytest.raises(Conflict, match="the database, the blob store"):
        restore(settings, made.path)
    restore(target, made.path)
    with pytest.raises(Conflict, match="an empty place"):
        restore(target, made.path)


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_a_restore_that_is_cut_off_is_not_served_and_can_be_run_again(
    made: Made, target: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object) -> Manifest:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(restoring, "copy_rows", killed)
        patched.setattr(restoring._Target, "clear", lambda _: None)  # a killed process tidies nothing
        patched.setattr(Path, "unlink", lambda *_, **__: None)
        with pytest.raises(Killed):
            restore(target, made.path)
    assert marker(target.workspace).exists()
    with pytest.raises(InvalidConfig, match="has not ended"):
        build(target)
    assert restore(target, made.path).rows["cases"] == 2
    with opened(target) as restored:
        assert restored.cases.ids(restored.access.operator()) != set()


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_a_backup_of_an_older_version_comes_up_to_this_one(made: Made, target: Settings, tmp_path: Path) -> None:
    """Its rows are brought to today's tables on the way."""
    from api.ground.migrate import current, downgrade, head

    with tarfile.open(made.path) as tar:
        tar.extractall(tmp_path / "out", filter="data")
    copy = tmp_path / "out" / "database.sqlite"
    old = BareSettings(workspace=tmp_path / "old", database_url=f"sqlite:///{copy}")
    downgrade(old, "-1")
    assert current(old) != head()
    repacked = repack(tmp_path / "out", made.path.with_name("older.tar"), str(current(old)))
    assert restore(target, repacked).rows["cases"] == 2
    assert current(target) == head()


def repack(folder: Path, path: Path, revision: str) -> Path:
    """A backup as the version before would have made it."""
    from api.backups.archive import manifest_bytes, writing

    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    with sqlite3.connect(folder / "database.sqlite") as database:
        database.execute("PRAGMA journal_mode=DELETE")
        names = [n for (n,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {n: database.execute(f'SELECT count(*) FROM "{n}"').fetchone()[0] for n in names if n in manifest.rows}
    with writing(path) as writer:
        for name in sorted(manifest.entries):
            writer.add_file(name, folder / name)
        older = manifest.model_copy(update={"revision": revision, "rows": rows, "entries": writer.entries})
        writer.add("manifest.json", manifest_bytes(older))
    return path


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_a_backup_of_a_newer_version_is_refused_and_the_place_stays_empty(
    made: Made, target: Settings, tmp_path: Path
) -> None:
    with tarfile.open(made.path) as tar:
        tar.extractall(tmp_path / "out", filter="data")
    newer = repack(tmp_path / "out", made.path.with_name("newer.tar"), "9999")
    with pytest.raises(Conflict, match="newer than this one"):
        restore(target, newer)
    assert not marker(target.workspace).exists()
    assert restore(target, made.path).rows["cases"] == 2
