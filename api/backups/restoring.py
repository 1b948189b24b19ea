"""Put a backup back into an empty place: whole, or not at all.

Blobs and bundles first, then every row in one transaction, as a case is stored. A file in the workspace says that a
restore is under way: while it lies there nothing serves, and the same command begins anew.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import MetaData, select

from api.audit.chain import sign_anew
from api.audit.tables import AuditHeadRow
from api.backups.archive import DATABASE, Check, DamagedBackup, Manifest, members
from api.backups.making import Tell
from api.backups.rows import copy_rows, count_rows
from api.cases.sweep import in_use
from api.ground.blobs import Blobs
from api.ground.database import Database
from api.ground.migrate import current, revisions, upgrade
from api.ground.secret import trail_key
from api.ground.unfinished import marker
from api.models.bundles import Bundles
from api.problems import Conflict
from api.settings import Settings


def verify(path: Path, tell: Tell = lambda *_: None) -> Manifest:
    """Read a whole backup: every hash, the rows' file, its references, its counts. Raises DamagedBackup."""
    with tempfile.TemporaryDirectory(prefix=".verify-", dir=path.parent) as folder:
        check, copy = Check(), Path(folder) / DATABASE
        for name, content in _told(path, tell):
            _read(check, name, content, copy)
        manifest = check.conclude()
        _examine(copy, manifest)
    return manifest


def restore(settings: Settings, path: Path, tell: Tell = lambda *_: None) -> Manifest:
    """Put everything back where the settings say.

    Raises:
        Conflict: something is stored there already, or the backup is of a newer version.
        DamagedBackup: nothing has changed then.
    """
    settings.workspace.mkdir(parents=True, exist_ok=True)
    target, mark = _Target(settings), marker(settings.workspace)
    if mark.exists():
        if target.has_rows():  # the last step was over: nothing but the mark was left to remove
            mark.unlink()
            raise Conflict("an earlier restore had ended but for its last word; everything is there")
        target.clear()
    target.refuse_unless_empty()
    mark.write_text(path.name, encoding="utf-8")
    try:
        manifest = target.fill(path, tell)
    except BaseException:  # whatever it was, Ctrl-C too; in the moment after the last step it is too late to go back
        if not target.has_rows():
            target.clear()
        mark.unlink()
        raise
    mark.unlink()
    return manifest


class _Target:
    """The database, the blob store and the folders that the settings name."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._blobs = Blobs(settings.blob_url, settings.workspace.resolve() / "blobs")
        self._folders = {"models": settings.models_folder, "runs": settings.runs_folder}

    def has_rows(self) -> bool:
        """Whether any table holds one, of whatever version the tables are."""
        if current(self._settings) is None:
            return False  # looking must not make the file
        found = MetaData()
        with _opened(self._settings) as database, database.engine.connect() as connection:
            found.reflect(connection)
            known = {"alembic_version", AuditHeadRow.__tablename__}
            tables = [table for name, table in found.tables.items() if name not in known]
            return any(connection.execute(select(table).limit(1)).first() is not None for table in tables)

    def refuse_unless_empty(self) -> None:
        """Raises Conflict."""
        full = [str(folder) for folder in self._folders.values() if folder.is_dir() and any(folder.iterdir())]
        if self.has_rows():
            full.append("the database")
        if next(self._blobs.list(), None) is not None:
            full.append("the blob store")
        if full:
            raise Conflict(f"a backup goes into an empty place, and something is stored in {', '.join(full)}")

    def clear(self) -> None:
        """Take away what a restore brought before its rows."""
        for folder in self._folders.values():
            shutil.rmtree(folder, ignore_errors=True)
        self._blobs.remove_unfinished()
        for digest, _ in list(self._blobs.list()):
            self._blobs.delete(digest)

    def fill(self, path: Path, tell: Tell) -> Manifest:
        with tempfile.TemporaryDirectory(prefix=".restore-", dir=self._settings.workspace) as folder:
            check, copy = Check(), Path(folder) / DATABASE
            for name, content in _told(path, tell):
                data = _read(check, name, content, copy)
                self._keep(name, data)
            manifest = check.conclude()
            _examine(copy, manifest)
            bundles = Bundles(self._settings.models_folder, self._blobs)
            for model in sorted({name.split("/")[1] for name in manifest.entries if name.startswith("models/")}):
                bundles.share(model)
            os.sync()  # before the rows that name them
            self._insert(copy, manifest, tell)
        return manifest

    def _keep(self, name: str, data: bytes) -> None:
        room, _, inside = name.partition("/")
        if room == "blobs":
            self._blobs.put(data)
        elif room in self._folders:
            place = self._folders[room] / inside
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)

    def _insert(self, copy: Path, manifest: Manifest, tell: Tell) -> None:
        """Bring the copy to this version's tables, then every row over in one transaction."""
        if manifest.revision not in revisions():
            raise Conflict(f"the backup is of version {manifest.version}, newer than this one: {manifest.revision}")
        theirs = self._settings.model_copy(update={"database_url": f"sqlite:///{copy}"})
        upgrade(theirs)
        upgrade(self._settings)
        done, wanted = 0, sum(manifest.rows.values())

        def count(some: int) -> None:
            nonlocal done
            done += some
            tell("rows", done, wanted)

        with (
            _opened(theirs) as source,
            _opened(self._settings) as target,
            source.engine.connect() as out,
            target.engine.begin() as into,
        ):
            copied = copy_rows(out, into, count)
            if count_rows(into) != copied:
                raise DamagedBackup("the database holds other rows than were copied; nothing was kept")
            sign_anew(into, trail_key(self._settings.workspace))


def _told(path: Path, tell: Tell) -> Iterator[tuple[str, BinaryIO]]:
    """Each member, and how far the file is read."""
    whole, read = path.stat().st_size, 0
    for name, content, size in members(path):
        yield name, content
        read += size
        tell("bytes", read, whole)


def _read(check: Check, name: str, content: BinaryIO, copy: Path) -> bytes:
    """The rows go into a file; the rest is small enough for memory, as it was when it came in."""
    if name != DATABASE:
        return check.read(name, content)
    with copy.open("wb") as file:
        return check.read(name, content, file)


def _examine(copy: Path, manifest: Manifest) -> None:
    """Whether the rows' file is sound and names no blob that did not come along; raises DamagedBackup."""
    try:
        with closing(sqlite3.connect(copy)) as database:
            faults = [*database.execute("PRAGMA foreign_key_check").fetchall()]
            faults += [row for row in database.execute("PRAGMA integrity_check").fetchall() if row != ("ok",)]
            rows = {n: database.execute(f'SELECT count(*) FROM "{n}"').fetchone()[0] for n in manifest.rows}  # noqa: S608 - names of tables that the manifest's hash covers
            used = {d for (d,) in database.execute(str(in_use()))}
    except sqlite3.Error as error:
        raise DamagedBackup(f"the rows cannot be read: {error}") from error
    absent = {d for d in used if f"blobs/{d[:2]}/{d[2:]}" not in manifest.entries} - set(manifest.missing)
    if faults or rows != manifest.rows or absent:
        raise DamagedBackup(f"the rows do not fit: {len(faults)} faults, {len(absent)} blobs that did not come along")


@contextmanager
def _opened(settings: Settings) -> Iterator[Database]:
    database = Database(settings.sqlalchemy_url)
    try:
        yield database
    finally:
        database.dispose()
