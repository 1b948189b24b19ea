"""Blobs: whole under the hash of their content, or not there."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from api.ground.blobs import BlobMissing, Blobs


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
    with pytest.raises(BlobMissing):
        blobs.get(digest)


def test_an_empty_blob_is_a_blob(blobs: Blobs) -> None:
    assert blobs.get(blobs.put(b"")) == b""


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
