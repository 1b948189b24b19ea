"""Blobs: whole under the hash of their content, or not there."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from api.ground.blobs import PIECE, Blobs
from clinical_mm.errors import DamagedFile


@pytest.fixture(params=["folder", "object store"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    return Blobs("" if request.param == "folder" else "memory:///", tmp_path / "blobs")


def test_what_is_put_is_got_by_its_hash(blobs: Blobs) -> None:
    digest = blobs.put(b"a picture")
    assert digest == hashlib.sha256(b"a picture").hexdigest()
    assert (blobs.get(digest), blobs.exists(digest)) == (b"a picture", True)


def test_the_same_content_twice_is_one_blob(blobs: Blobs) -> None:
    assert blobs.put(b"x") == blobs.put(b"x")
    assert [digest for digest, _ in blobs.list()] == [hashlib.sha256(b"x").hexdigest()]


def test_a_deleted_blob_is_missing_and_deleting_again_is_no_error(blobs: Blobs) -> None:
    digest = blobs.put(b"x")
    blobs.delete(digest)
    blobs.delete(digest)
    assert not blobs.exists(digest)
    with pytest.raises(DamagedFile):
        blobs.get(digest)


def test_an_empty_blob_is_a_blob(blobs: Blobs) -> None:
    assert blobs.get(blobs.put(b"")) == b""


def test_a_file_is_put_under_its_hash_and_stays_where_it_is(blobs: Blobs, tmp_path: Path) -> None:
    source, digest = tmp_path / "source", hashlib.sha256(b"a film").hexdigest()
    source.write_bytes(b"a film")
    blobs.put_file(source, digest)
    blobs.put_file(source, digest)
    assert (blobs.get(digest), source.read_bytes()) == (b"a film", b"a film")
    source.unlink()
    assert blobs.get(digest) == b"a film"


@pytest.mark.parametrize("size", [1, PIECE, 3 * PIECE + 1])
def test_a_blob_that_has_changed_is_not_given_away(size: int, tmp_path: Path) -> None:
    blobs = Blobs("", tmp_path / "blobs")
    digest = blobs.put(b"x" * size)
    assert b"".join(blobs.pieces(digest)) == b"x" * size
    Path(str(blobs.path(digest))).write_bytes(b"x" * (size - 1) + b"y")
    with pytest.raises(DamagedFile, match="is not what was stored"):
        blobs.get(digest)
    with pytest.raises(DamagedFile, match="is not what was stored"):
        list(blobs.pieces(digest))


@pytest.mark.parametrize("again", ["put", "put_file"])
def test_what_comes_again_mends_a_blob_that_has_changed(again: str, tmp_path: Path) -> None:
    blobs, source = Blobs("", tmp_path / "blobs"), tmp_path / "source"
    source.write_bytes(b"a film")
    digest = blobs.put(b"a film")
    Path(str(blobs.path(digest))).write_bytes(b"a fi")
    if again == "put":
        blobs.put(b"a film")
    else:
        blobs.put_file(source, digest)
    assert blobs.get(digest) == b"a film"


def test_a_file_of_another_disk_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs, source, digest = Blobs("", tmp_path / "blobs"), tmp_path / "source", hashlib.sha256(b"a film").hexdigest()
    source.write_bytes(b"a film")

    def other_disk(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", other_disk)
    blobs.put_file(source, digest)
    assert blobs.get(digest) == b"a film"


def test_a_cut_off_write_leaves_no_blob_and_is_cleared_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = Blobs("", tmp_path / "blobs")

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", dies)
        patched.setattr(Path, "unlink", lambda *_, **__: None)  # a killed process tidies nothing
        with pytest.raises(KeyboardInterrupt):
            blobs.put(b"half")
    assert list(blobs.list()) == []
    assert [p for p in (tmp_path / "blobs").rglob("*") if p.is_file()] != []
    blobs.remove_unfinished()
    assert [p for p in (tmp_path / "blobs").rglob("*") if p.is_file()] == []
