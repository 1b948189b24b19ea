"""Bytes by their content: a blob's name is its SHA-256, so storing twice is storing once."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import obstore
from obstore.store import LocalStore, ObjectStore, from_url

from api.ground.tracing import traced
from clinical_mm.errors import ClinicalMMError

_INCOMING = ".incoming"
_DIGEST = re.compile(r"^[0-9a-f]{64}$")


class BlobMissing(ClinicalMMError):
    """A blob that the database names is not in the store."""


class Blobs:
    """Content-addressed store over a folder, S3, GCS or Azure."""

    def __init__(self, url: str, folder: Path) -> None:
        self._folder = None if url else folder
        if self._folder is not None:
            (self._folder / _INCOMING).mkdir(parents=True, exist_ok=True)
            self._store: ObjectStore = LocalStore(self._folder)
        else:
            self._store = from_url(url)

    @traced("blob.put")
    def put(self, data: bytes) -> str:
        """Store bytes durably and give their SHA-256."""
        digest = hashlib.sha256(data).hexdigest()
        path = self.path(digest)
        if path is None:
            obstore.put(self._store, _key(digest), data)  # again, where it is there: the sweep spares young blobs
        elif not path.is_file():
            self._write(path, data)
        return digest

    @traced("blob.get")
    def get(self, digest: str) -> bytes:
        """The bytes of that SHA-256; raises BlobMissing."""
        try:
            return bytes(obstore.get(self._store, _key(digest)).bytes())
        except FileNotFoundError as error:
            raise BlobMissing(f"blob {digest} is not in the store") from error

    def exists(self, digest: str) -> bool:
        """Whether the store holds that SHA-256."""
        try:
            obstore.head(self._store, _key(digest))
        except FileNotFoundError:
            return False
        return True

    @traced("blob.delete")
    def delete(self, digest: str) -> None:
        """Remove a blob; one that is gone already is no error."""
        try:
            obstore.delete(self._store, _key(digest))
        except FileNotFoundError:
            return

    def list(self) -> Iterator[tuple[str, datetime]]:
        """Every blob's SHA-256 with the moment it was written."""
        for page in obstore.list(self._store):
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
        """Held while blobs without a case are looked for and removed: no case may be coming in meanwhile."""
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

    def answers(self) -> bool:
        """Whether the store can be reached, and written where it is a folder."""
        if self._folder is not None:
            return os.access(self._folder, os.W_OK)
        try:
            self.exists("0" * 64)
        except (OSError, obstore.exceptions.BaseError):
            return False
        return True

    def path(self, digest: str) -> Path | None:
        """Where the blob lies on disk, or None where the store is not a folder."""
        return None if self._folder is None else self._folder / _key(digest)

    def _write(self, path: Path, data: bytes) -> None:
        """A blob is whole under its name or not there; when this returns, file and folder entries are on disk."""
        unfinished = path.parent.parent / _INCOMING / secrets.token_hex(16)
        try:
            with unfinished.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            path.parent.mkdir(exist_ok=True)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
        for folder in (path.parent, path.parent.parent):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _key(digest: str) -> str:
    return f"{digest[:2]}/{digest[2:]}"
