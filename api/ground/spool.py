"""Files on their way in: written to the disk as they come, hashed on the way, gone when the request is over."""

from __future__ import annotations

import fcntl
import io
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from api.problems import PointedError, TooLarge
from clinical_mm.digests import content_hash

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class SpoolFile(io.FileIO):
    """A file of the spool, written once; locked while its process lives, so that a sweep knows what a crash left."""

    def __init__(self, path: Path, sent_name: str, most_bytes: int) -> None:
        super().__init__(path, "x+b")
        self.path, self.sent_name, self.size = path, sent_name, 0
        self._most_bytes = most_bytes
        self._digest = content_hash()
        fcntl.flock(self, fcntl.LOCK_EX)

    def write(self, data: ReadableBuffer, /) -> int:
        """All of the bytes.

        Raises:
            TooLarge: the file has more bytes than one may have.
            OSError: the disk is full, say.
        """
        left = memoryview(data)
        self.size += len(left)
        if self.size > self._most_bytes:
            most = self._most_bytes // 2**20
            detail = f"a file is larger than {most} MB, the most that one file may have"
            raise TooLarge(detail, errors=[PointedError(pointer="/files", detail=detail)])
        self._digest.update(left)
        total = len(left)
        while left:  # a disk that is nearly full takes a part, and only the next call is told so
            left = left[super().write(left) :]
        return total

    @property
    def sha256(self) -> str:
        """Of what was written so far."""
        return self._digest.hexdigest()

    def discard(self) -> None:
        """Close it and take it away; what was stored of it stays."""
        self.close()
        self.path.unlink(missing_ok=True)


class Spool:
    """A folder of the workspace for files that are not stored yet."""

    def __init__(self, folder: Path, most_bytes_each: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes_each
        folder.mkdir(parents=True, exist_ok=True)

    def file(self, sent_name: str) -> SpoolFile:
        """A new, empty file for what comes under that name."""
        with self._lock(fcntl.LOCK_SH):  # no sweep between making it and locking it
            return SpoolFile(self._folder / secrets.token_hex(16), sent_name, self._most_bytes)

    def sweep(self) -> int:
        """Remove what processes that are no more have left; gives how many files."""
        with self._lock(fcntl.LOCK_EX):
            left = [path for path in self._folder.iterdir() if _is_nobodys(path)]
            for path in left:
                path.unlink(missing_ok=True)
        return len(left)

    @contextmanager
    def _lock(self, kind: int) -> Iterator[None]:
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, kind)
            yield
        finally:
            os.close(descriptor)


def _is_nobodys(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError):
        return False
    return True


def printable(name: str) -> str:
    """A file's name without its folders and without what does not print."""
    return "".join(c for c in name.replace("\\", "/").rsplit("/", 1)[-1] if c.isprintable())[:255]
