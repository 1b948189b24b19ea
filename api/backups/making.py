"""Make a backup while the service goes on: rows of one moment first, then the blobs that they name.

Blobs never change, so it is no matter when they are copied. Cases that are erased meanwhile are taken out of the copy
of the rows at the end.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, select

from api.backups.archive import DATABASE, FORMAT, MANIFEST, Manifest, Writer, manifest_bytes, writing
from api.backups.rows import copy_rows, count_rows, see_every_row
from api.backups.tables import BackupRow
from api.cases.sweep import in_use
from api.cases.tables import BlobUseRow, CaseRow
from api.ground.clock import now
from api.ground.database import Database
from api.ground.ground import Ground
from api.ground.ids import new_id
from api.ground.migrate import current, head, upgrade
from api.models.bundles import Bundles
from api.models.tables import ModelRow
from api.problems import Conflict
from api.training.tables import TrainingRunRow
from clinical_mm.digests import content_hash
from clinical_mm.errors import DamagedFile

WORKING_FILES = ("snapshot", "out/checkpoint", "out/bundle", "out/search/trial/")
AT_ONCE = 500
Tell = Callable[[str, int, int], object]
"""Told of what is done, how many of how many."""


@dataclass(frozen=True)
class Made:
    """A finished backup."""

    path: Path
    manifest_sha256: str
    cases: int
    blobs: int
    missing: dict[str, list[str]]


def make(ground: Ground, destination: Path, tell: Tell = lambda *_: None) -> Made:
    """Back everything up into a new file, or into a file named by the moment where ``destination`` is a folder.

    Raises:
        Conflict: the file exists, or the database is not at this version's tables.
    """
    moment = now()
    path = destination / f"clinical-mm-{moment:%Y%m%dT%H%M%SZ}.tar" if destination.is_dir() else destination
    if path.exists():
        raise Conflict(f"{path} exists already; name a new file")
    if (here := current(ground.settings)) != head():
        raise Conflict(
            f"the database is at revision {here}, this version at {head()}: back up with the one that serves"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    row = BackupRow(id=new_id("backup"), name=path.name[:255], started_at=moment)
    with ground.database.transaction() as session:
        session.add(row)
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=path.parent) as folder, writing(path) as writer:
        with _copied_rows(ground, Path(folder) / DATABASE, tell) as (copy, connection):
            missing = _pack_blobs(ground, connection, writer, tell)
            _pack_folders(ground, connection, writer, tell)
            _take_out_erased(ground, connection)
            rows, still_missing = count_rows(connection), _still_missing(connection, missing)
        writer.add_file(DATABASE, copy)
        manifest = _manifest(moment, rows, writer, still_missing)
        told = manifest_bytes(manifest)
        writer.add(MANIFEST, told)
    digest = content_hash(told).hexdigest()
    with ground.database.transaction() as session:
        kept = session.get_one(BackupRow, row.id)
        kept.finished_at, kept.manifest_sha256 = now(), digest
    blobs = sum(name.startswith("blobs/") for name in manifest.entries)
    return Made(path, digest, rows["cases"], blobs, still_missing)


@contextmanager
def _copied_rows(ground: Ground, copy: Path, tell: Tell) -> Iterator[tuple[Path, Connection]]:
    """A SQLite file with every row of one moment, whatever the service's database is, and an open transaction on it."""
    settings = ground.settings.model_copy(update={"database_url": f"sqlite:///{copy}"})
    upgrade(settings)
    database = Database(settings.sqlalchemy_url)
    try:
        with database.engine.begin() as target:
            with _moment(ground.database) as source:
                wanted, done = sum(count_rows(source).values()), 0

                def count(some: int) -> None:
                    nonlocal done
                    done += some
                    tell("rows", done, wanted)

                copy_rows(source, target, count)
            yield copy, target
    finally:
        database.dispose()
    with closing(sqlite3.connect(copy)) as last:
        last.execute("PRAGMA journal_mode=DELETE")  # no log beside it: the file alone is all


@contextmanager
def _moment(database: Database) -> Iterator[Connection]:
    """A connection that sees the database as it is now, however long it reads."""
    options: dict[str, Any] = {"reading": True}
    if database.engine.dialect.name == "postgresql":
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with database.engine.connect().execution_options(**options) as connection, connection.begin():
        see_every_row(connection)
        yield connection


def _pack_blobs(ground: Ground, rows: Connection, writer: Writer, tell: Tell) -> set[str]:
    """Every blob that a case uses, or an import that waits; gives those that the store does not hold as stored."""
    wanted = sorted(rows.scalars(in_use()))
    missing = set()
    for done, digest in enumerate(wanted, 1):
        try:
            writer.add(f"blobs/{digest[:2]}/{digest[2:]}", ground.blobs.get(digest))
        except DamagedFile:
            missing.add(digest)
        tell("blobs", done, len(wanted))
    return missing


def _pack_folders(ground: Ground, rows: Connection, writer: Writer, tell: Tell) -> None:
    """The bundles, and what is kept of each run: what it needed to work holds copies of cases, and is made anew."""
    models, runs = list(rows.scalars(select(ModelRow.id))), list(rows.scalars(select(TrainingRunRow.id)))
    bundles = Bundles(ground.settings.models_folder, ground.blobs)
    for done, model in enumerate(models, 1):
        _pack(writer, bundles.folder(model), f"models/{model}", ())
        tell("models", done, len(models))
    for run in runs:
        _pack(writer, ground.settings.runs_folder / run, f"runs/{run}", WORKING_FILES)


def _pack(writer: Writer, folder: Path, name: str, without: Iterable[str]) -> None:
    left_out = tuple(without)
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink()):
        inside = path.relative_to(folder).as_posix()
        if not inside.startswith(left_out):
            writer.add(f"{name}/{inside}", path.read_bytes())


def _take_out_erased(ground: Ground, rows: Connection) -> None:
    """A case that was erased while the blobs were copied must not come back with this backup."""
    copied = list(rows.scalars(select(CaseRow.id)))
    for start in range(0, len(copied), AT_ONCE):
        some = copied[start : start + AT_ONCE]
        with ground.database.reading() as session:
            stored = set(session.scalars(select(CaseRow.id).where(CaseRow.id.in_(some))))
        rows.execute(delete(CaseRow).where(CaseRow.id.in_(set(some) - stored)))


def _still_missing(rows: Connection, missing: Iterable[str]) -> dict[str, list[str]]:
    query, named = select(BlobUseRow.case_id).order_by(BlobUseRow.case_id), sorted(rows.scalars(in_use(set(missing))))
    return {digest: list(rows.scalars(query.where(BlobUseRow.sha256 == digest))) for digest in named}


def _manifest(moment: datetime, rows: dict[str, int], writer: Writer, missing: dict[str, list[str]]) -> Manifest:
    return Manifest(
        format=FORMAT,
        version=version("clinical-mm"),
        revision=head(),
        made_at=moment,
        rows=rows,
        entries=writer.entries,
        missing=missing,
    )
