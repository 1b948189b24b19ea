"""Files on their way in: on the disk, hashed, and gone when they are not wanted any more."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from api.ground.spool import Spool
from api.problems import TooLarge


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "incoming", 1000)


def test_a_file_knows_its_hash_and_size_as_it_is_written(spool: Spool) -> None:
    file = spool.file("a.dcm")
    file.write(b"one ")
    file.write(b"two")
    assert (file.size, file.sha256) == (7, hashlib.sha256(b"one two").hexdigest())
    assert file.path.read_bytes() == b"one two"
    file.discard()
    assert not file.path.exists()


def test_a_file_that_grows_too_large_is_named_with_the_limit(tmp_path: Path) -> None:
    file = Spool(tmp_path, 2**20).file("C:\\films\\chest.dcm")
    file.write(bytes(2**20))
    with pytest.raises(TooLarge, match="is larger than 1 MB"):
        file.write(b"x")
    file.discard()


LEAVES = """
import os, sys
from pathlib import Path
from api.ground.spool import Spool
Spool(Path(sys.argv[1]), 1000).file("a.dcm").write(b"left")
os.kill(os.getpid(), 9)
"""


def test_a_sweep_takes_what_a_killed_process_left_and_nothing_that_is_on_its_way(spool: Spool, tmp_path: Path) -> None:
    coming = spool.file("b.dcm")
    subprocess.run([sys.executable, "-c", LEAVES, str(tmp_path / "incoming")], check=False)
    assert len(list((tmp_path / "incoming").iterdir())) == 2
    assert spool.sweep() == 1
    assert list((tmp_path / "incoming").iterdir()) == [coming.path]
    coming.discard()
