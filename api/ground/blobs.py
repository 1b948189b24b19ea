"""Bytes by their content: a blob's name is its SHA-256, so storing twice is storing once."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from api.ground.pulse import SILENT_S, Pulse
from api.ground.tracing import traced
from api.problems import NotReady
from clinical_mm.digests import content_hash, file_hash
from clinical_mm.errors import DamagedFile, InvalidConfig

log = logging.getLogger(__name__)
T = TypeVar("T")
_INCOMING = ".incoming"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_DIGEST = re.compile(r"^[0-9a-f]{64}$")
_RETRIES = {"max_retries": 3, "retry_timeout": timedelta(seconds=5)}
_CLIENT = {"connect_timeout": "2s", "timeout": "120s"}
"""Of a whole transfer, the largest file included."""
_ASKING = {"connect_timeout": f"{SILENT_S}s", "timeout": f"{SILENT_S}s"}
_AT_ONCE = 32
_LOOK_S = 0.1
RETRY_AFTER_S = 2
PIECE = 2**20
"""Bytes of a blob that are in memory at once, at least, where it is read in pieces."""


class BlobsAway(NotReady):
    """The object store does not answer, or refuses: 503, come again."""

    def __init__(self) -> None:
        super().__init__("the object store does not answer; try again", retry_after_s=RETRY_AFTER_S)


class Blobs:
    """Content-addressed store over a folder, S3, GCS or Azure."""

    def __init__(self, url: str, folder: Path) -> None:
        self._folder = None if url else folder
        if self._folder is not None:
            (self._folder / _INCOMING).mkdir(parents=True, exist_ok=True)
            self._store: ObjectStore = LocalStore(self._folder)
        else:
            self._store = _opened(url, _CLIENT, _RETRIES)
        self._url = url
        self._pulse: Pulse | None = None
        self._calls = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="blobs")

    def keep_watch(self) -> None:
        """From now on nobody waits long for an object store that is silent: BlobsAway is raised. A folder never is."""
        if self._folder is not None or self._pulse is not None:
            return
        asking = _opened(self._url, _ASKING, {"max_retries": 0})
        self._pulse = Pulse("object store", lambda: _exists(asking, "0" * 64), (OSError, BaseError))
        self._pulse.start()

    def close(self) -> None:
        """Watch no more."""
        if self._pulse is not None:
            self._pulse.stop()

    def check(self) -> None:
        """Raise InvalidConfig where nothing can be stored: no such bucket, wrong credentials, nobody there."""
        try:
            next(iter(obstore.list(self._store, chunk_size=1)), None)
        except (OSError, BaseError) as error:
            where = self._url or self._folder
            raise InvalidConfig(f"blobs cannot be kept in {where}, see CLINICAL_MM_BLOB_URL: {_told(error)}") from error

    @traced("blob.put")
    def put(self, data: bytes) -> str:
        """Store bytes durably and give their SHA-256."""
        digest = content_hash(data).hexdigest()
        path = self.path(digest)
        if path is None:
            # again, where it is there: the sweep spares young blobs
            self._ask(lambda: obstore.put(self._store, _key(digest), data))
        elif not _holds(path, digest):
            self._write(path, data)
        return digest

    @traced("blob.put")
    def put_file(self, source: Path, digest: str) -> None:
        """Store a file of this machine, whose SHA-256 is known, durably; it stays where it is."""
        path = self.path(digest)
        if path is None:
            self._ask(lambda: obstore.put(self._store, _key(digest), source))
        elif not _holds(path, digest):
            self._link(source, path)

    @traced("blob.get")
    def get(self, digest: str) -> bytes:
        """The bytes of that SHA-256; raises DamagedFile."""
        try:
            data = self._ask(lambda: bytes(obstore.get(self._store, _key(digest)).bytes()))
        except FileNotFoundError as error:
            raise DamagedFile(digest, "gone") from error
        if content_hash(data).hexdigest() != digest:
            raise DamagedFile(digest, "changed")
        return data

    @traced("blob.get")
    def pieces(self, digest: str) -> Iterator[bytes]:
        """The same, a piece at a time; raises DamagedFile before the first, or at the latest before the last."""
        try:
            found = self._ask(lambda: obstore.get(self._store, _key(digest)))
        except FileNotFoundError as error:
            raise DamagedFile(digest, "gone") from error
        stream = iter(found.stream(PIECE))
        read = iter(lambda: self._ask(lambda: next(stream, None)), None)
        checked = _checked((bytes(piece) for piece in read), digest)
        return chain(list(islice(checked, 1)), checked)

    def exists(self, digest: str) -> bool:
        """Whether the store holds that SHA-256."""
        return self._ask(lambda: _exists(self._store, digest))

    @traced("blob.delete")
    def delete(self, digest: str) -> None:
        """Remove a blob; one that is gone already is no error."""
        try:
            self._ask(lambda: obstore.delete(self._store, _key(digest)))
        except FileNotFoundError:
            return

    def put_named(self, name: str, data: bytes) -> None:
        """Store an object that is no case's under a name of its own; in an object store alone."""
        self._ask(lambda: obstore.put(self._store, name, data))

    def get_named(self, name: str) -> bytes:
        """That object's bytes; raises FileNotFoundError."""
        return self._ask(lambda: bytes(obstore.get(self._store, name).bytes()))

    def list(self) -> Iterator[tuple[str, datetime]]:
        """Every blob's SHA-256 with the moment it was written."""
        pages = iter(obstore.list(self._store))
        while (page := self._ask(lambda: next(pages, None))) is not None:
            for entry in page:
                digest = entry["path"].replace("/", "")
                if _DIGEST.match(digest):
                    yield digest, entry["last_modified"]

    def remove_unfinished(self) -> None:
        """Remove what a crash cut off in the middle of a ``put``; to be called while ``removing``."""
        if self._folder is not None:
            for path in (self._folder / _INCOMING).iterdir():
                path.unlink(missing_ok=True)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Held from the first ``put`` of a case until the transaction that names its blobs is over."""
        with self._lock(fcntl.LOCK_SH):
            yield

    @contextmanager
    def removing(self) -> Iterator[None]:
        """Held while blobs without a case are looked for and removed: no case may be coming in meanwhile.

        Through ``removing`` of api/cases/sweep.py, which waits for what killed processes are storing too.
        """
        with self._lock(fcntl.LOCK_EX):
            yield

    @contextmanager
    def _lock(self, kind: int) -> Iterator[None]:
        # Between processes on one folder; an object store has no such lock, so its sweep leaves young blobs alone.
        if self._folder is None:
            yield
            return
        with (self._folder.parent / "blobs.lock").open("a") as lock:
            fcntl.flock(lock, kind)
            yield

    def try_it(self) -> None:
        """Write where it is a folder, else ask; raises OSError, or obstore's BaseError, where that fails.

        A blob that is not there is the object store's right answer.
        """
        if self._folder is None:
            self.exists("0" * 64)
            return
        trial = self._folder / _INCOMING / f"trial-{secrets.token_hex(8)}"
        try:
            trial.write_bytes(b"0" * 4096)
        finally:
            trial.unlink(missing_ok=True)

    @property
    def is_folder(self) -> bool:
        """Whether the store is a folder of this machine."""
        return self._folder is not None

    def path(self, digest: str) -> Path | None:
        """Where the blob lies on disk, or None where the store is not a folder."""
        return None if self._folder is None else self._folder / _key(digest)

    def _ask(self, call: Callable[[], T]) -> T:
        """What the store answers. Raises BlobsAway where it does not, or FileNotFoundError."""
        if self._folder is not None:
            return call()
        try:
            return call() if self._pulse is None else self._watched(call, self._pulse)
        except BaseError as error:
            log.exception("the object store does not answer")
            raise BlobsAway from error

    def _watched(self, call: Callable[[], T], pulse: Pulse) -> T:
        """In a thread of its own, which is left behind where the store falls silent: its call has a limit too."""
        if pulse.is_away:
            raise BlobsAway
        answer = self._calls.submit(call)
        while not wait([answer], _LOOK_S).done:
            if pulse.is_away:
                answer.cancel()
                raise BlobsAway
        return answer.result()

    def _write(self, path: Path, data: bytes) -> None:
        """A blob is whole under its name or not there; when this returns, file and folder entries are on disk."""
        unfinished = path.parent.parent / _INCOMING / secrets.token_hex(16)
        try:
            unfinished.write_bytes(data)
            self._settle(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)

    def _link(self, source: Path, path: Path) -> None:
        """A second name for the file; a copy of it where the two lie on different disks, or the disk knows no links."""
        unfinished = path.parent.parent / _INCOMING / secrets.token_hex(16)
        try:
            try:
                os.link(source, unfinished)
            except OSError as error:
                if error.errno in _FULL:
                    raise
                shutil.copyfile(source, unfinished)
            self._settle(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)

    @staticmethod
    def _settle(unfinished: Path, path: Path) -> None:
        _sync(unfinished)
        path.parent.mkdir(exist_ok=True)
        unfinished.replace(path)
        for folder in (path.parent, path.parent.parent):
            _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _holds(path: Path, digest: str) -> bool:
    """Whether it lies there as it was stored: what comes again mends a file that is damaged."""
    try:
        with path.open("rb") as file:
            return file_hash(file) == digest
    except FileNotFoundError:
        return False


def _checked(pieces: Iterable[bytes], digest: str) -> Iterator[bytes]:
    """The same pieces; DamagedFile is raised instead of the last one where they are not what was stored."""
    found, last = content_hash(), b""
    for piece in pieces:
        if last:
            yield last
        found.update(piece)
        last = piece
    if found.hexdigest() != digest:
        raise DamagedFile(digest, "changed")
    yield last


def _key(digest: str) -> str:
    return f"{digest[:2]}/{digest[2:]}"


def _exists(store: ObjectStore, digest: str) -> bool:
    try:
        obstore.head(store, _key(digest))
    except FileNotFoundError:
        return False
    return True


def _opened(url: str, client: dict[str, Any], retries: dict[str, Any]) -> ObjectStore:
    """Raises InvalidConfig where the URL or the cloud's variables do not say a store."""
    # Options of the client that are given here push aside those of the environment, this one too.
    plain = os.environ.get("AWS_ALLOW_HTTP", "").lower() in {"1", "true"}
    options: Any = {"client_options": {**client, "allow_http": plain}, "retry_config": retries}
    if url.startswith("s3:"):  # we delete one at a time, and not every S3 knows how to delete many at once
        options["config"] = {"disable_bulk_delete": True}
    try:
        store: ObjectStore = from_url(url, **({} if url.startswith("memory:") else options))
    except (BaseError, ValueError, TypeError) as error:
        raise InvalidConfig(f"CLINICAL_MM_BLOB_URL does not name a store: {_told(error)}") from error
    return store


def _told(error: Exception) -> str:
    """The first line of what the store's library says; the rest is how it looks inside."""
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
