"""The file of a backup: a tar whose last member, the manifest, holds the SHA-256 of every other.

- ``blobs/ab/cdef...``: a blob, named by its hash
- ``models/ID/...``: a bundle
- ``runs/ID/...``: what is kept of a training run
- ``database.sqlite``: every row of every table, whatever database it came from
- ``manifest.json``
"""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from pydantic import BaseModel, ConfigDict, ValidationError

from clinical_mm.digests import content_hash
from clinical_mm.errors import ClinicalMMError

FORMAT = 1
DATABASE, MANIFEST = "database.sqlite", "manifest.json"
_KNOWN = re.compile(r"^(blobs/[0-9a-f]{2}/[0-9a-f]{62}|models/.+|runs/.+|database\.sqlite|manifest\.json)$")


class DamagedBackup(ClinicalMMError):
    """The file is no backup, or not as it was written."""


class Entry(BaseModel):
    """One member."""

    sha256: str
    size: int


class Manifest(BaseModel):
    """What a whole backup holds."""

    model_config = ConfigDict(extra="forbid")
    format: int
    version: str
    """Of the service that made it."""
    revision: str
    """Of the database's tables."""
    made_at: datetime
    rows: dict[str, int]
    entries: dict[str, Entry]
    missing: dict[str, list[str]]
    """Blobs that the store did not have, or not as they were stored, with the cases they belong to."""


@dataclass
class Writer:
    """Adds members; each is read once."""

    _tar: tarfile.TarFile
    entries: dict[str, Entry] = field(default_factory=dict)

    def add(self, name: str, data: bytes) -> None:
        """One member from memory."""
        self._add(name, io.BytesIO(data), len(data))

    def add_file(self, name: str, path: Path) -> None:
        """One member from a file that nobody changes meanwhile."""
        with path.open("rb") as file:
            self._add(name, file, path.stat().st_size)

    def _add(self, name: str, content: BinaryIO, size: int) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, 0o600
        hashing = _Hashing(content)
        self._tar.addfile(member, hashing)
        self.entries[name] = Entry(sha256=hashing.hash.hexdigest(), size=size)


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """A new file, whole under its name or not there; durable at the end, readable by its owner alone."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            with tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as tar:
                yield Writer(tar)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)


def members(path: Path) -> Iterator[tuple[str, BinaryIO, int]]:
    """Name, content and size of each member, in order; each must be read before the next is asked for.

    Raises:
        DamagedBackup: the file is cut off, is no tar, or holds what no backup holds.
    """
    try:
        with tarfile.open(path, mode="r|") as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isreg() else None
                if content is None or not _KNOWN.match(member.name) or ".." in PurePosixPath(member.name).parts:
                    raise DamagedBackup(f"{path.name} holds {member.name!r}, which no backup holds")
                yield member.name, content, member.size  # type: ignore[misc] # an IO[bytes] is a BinaryIO here
    except (tarfile.TarError, EOFError) as error:
        raise DamagedBackup(f"{path.name} is cut off or no backup: {error}") from error


class Check:
    """What was read of a backup so far, to be compared with its manifest at the end."""

    def __init__(self) -> None:
        self._found: dict[str, Entry] = {}
        self._manifest: bytes | None = None

    def read(self, name: str, content: BinaryIO, into: BinaryIO | None = None) -> bytes:
        """A member's bytes, or b"" where they went ``into`` a file; raises DamagedBackup for one that came before."""
        if name in self._found or self._manifest is not None:
            raise DamagedBackup(f"{name} comes twice, or after the manifest")
        hashed, size, kept = content_hash(), 0, []
        while chunk := _chunk(name, content):
            hashed.update(chunk)
            size += len(chunk)
            if into is None:
                kept.append(chunk)
            else:
                into.write(chunk)
        data = b"".join(kept)
        if name == MANIFEST:
            self._manifest = data
        else:
            self._found[name] = Entry(sha256=hashed.hexdigest(), size=size)
        if name.startswith("blobs/") and hashed.hexdigest() != name.removeprefix("blobs/").replace("/", ""):
            raise DamagedBackup(f"{name} is not what was stored: its SHA-256 is {hashed.hexdigest()}")
        return data

    def conclude(self) -> Manifest:
        """The manifest, once every member fits it; raises DamagedBackup."""
        if self._manifest is None:
            raise DamagedBackup("the manifest is missing: the file is cut off")
        try:
            manifest = Manifest.model_validate_json(self._manifest)
        except ValidationError as error:
            raise DamagedBackup(f"the manifest cannot be read: {error.error_count()} faults") from error
        if manifest.format != FORMAT:
            raise DamagedBackup(f"the backup has format {manifest.format}, this version reads {FORMAT}")
        wrong = sorted(n for n in self._found | manifest.entries if self._found.get(n) != manifest.entries.get(n))
        if wrong:
            raise DamagedBackup(f"{len(wrong)} members are missing or changed, the first: {wrong[0]}")
        return manifest


def _chunk(name: str, content: BinaryIO) -> bytes:
    try:
        return content.read(2**20)
    except (tarfile.TarError, EOFError) as error:
        raise DamagedBackup(f"the backup is cut off within {name}") from error


def manifest_bytes(manifest: Manifest) -> bytes:
    """As it is written and hashed."""
    told: Mapping[str, Any] = manifest.model_dump(mode="json")
    return json.dumps(told, indent=1, sort_keys=True).encode()


class _Hashing(io.RawIOBase):
    """Hashes what tarfile reads."""

    def __init__(self, content: BinaryIO) -> None:
        self._content, self.hash = content, content_hash()

    def read(self, size: int = -1) -> bytes:
        data = self._content.read(size)
        self.hash.update(data)
        return data
