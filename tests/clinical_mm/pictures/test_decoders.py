"""Decoding in a process of its own: whatever a file does to it, the next file is read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from clinical_mm.errors import DecoderUnavailable, UnreadableFile, UnsupportedFile
from clinical_mm.limits import Limits
from clinical_mm.pictures import decoders as module
from clinical_mm.pictures.decoders import Decoders
from clinical_mm.pictures.inspection import inspect
from tests.clinical_mm.pictures.dicoms import dicom, ramp
from tests.decoding import decoder_processes

Make = Callable[..., Decoders]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Decoders] = []

    def one(count: int = 1, **limits: float) -> Decoders:
        made.append(Decoders(Limits(**limits), count))  # type: ignore[arg-type]
        return made[-1]

    yield one
    for decoders in made:
        decoders.close()


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.dcm"
    path.write_bytes(dicom(ramp(64, 48), WindowCenter=100, WindowWidth=50))
    return path


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A file whose reading never ends: a pipe that nobody writes to."""
    path = tmp_path / "endless.dcm"
    os.mkfifo(path)
    return path


Children = Callable[[], list[psutil.Process]]


@pytest.fixture
def children() -> Children:
    """The decoders that this test began; those that earlier tests keep are none of them."""
    before = {p.pid for p in decoder_processes()}
    return lambda: [p for p in decoder_processes() if p.pid not in before]


def test_it_finds_what_is_found_in_this_process(make: Make, film: Path) -> None:
    assert make().inspect(film) == inspect(film.read_bytes())


def test_refusals_come_through_as_what_they_are(make: Make, tmp_path: Path) -> None:
    decoders, path = make(), tmp_path / "file"
    path.write_bytes(b"a note")
    with pytest.raises(UnsupportedFile, match="not a DICOM, PNG or JPEG file"):
        decoders.inspect(path)
    path.write_bytes(dicom(ramp())[:-100])
    with pytest.raises(UnreadableFile, match="cut off"):
        decoders.inspect(path)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
def test_a_crash_is_this_files_fault_and_the_next_is_read(
    make: Make, children: Children, film: Path, endless: Path, number: int
) -> None:
    decoders = make()
    decoders.inspect(film)
    [process] = children()
    threading.Timer(0.3, process.send_signal, [number]).start()
    with pytest.raises(UnreadableFile, match=rf"ended the decoder \({signal.Signals(number).name}\)"):
        decoders.inspect(endless)
    assert decoders.inspect(film).rows == 64
    assert [p.pid for p in children()] != [process.pid]


def test_a_file_that_takes_too_long_is_given_up(make: Make, film: Path, endless: Path) -> None:
    decoders = make(seconds=0.5)
    decoders.inspect(film)
    started = time.monotonic()
    with pytest.raises(UnreadableFile, match="takes more than"):
        decoders.inspect(endless)
    assert time.monotonic() - started < 2
    assert decoders.inspect(film).rows == 64


def test_a_file_that_takes_too_much_memory_is_given_up(make: Make, film: Path, tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (6000, 6000), dtype=np.uint8)).save(large)
    decoders = make(memory_mb=100)
    with pytest.raises(UnreadableFile, match="Memory"):
        decoders.inspect(large)
    assert decoders.inspect(film).rows == 64


def test_a_decoder_that_was_killed_while_it_waited_is_not_missed(make: Make, children: Children, film: Path) -> None:
    decoders = make()
    decoders.inspect(film)
    [process] = children()
    process.kill()
    psutil.wait_procs([process], timeout=5)
    assert decoders.inspect(film).rows == 64


def test_a_decoder_is_replaced_after_so_many_files(
    make: Make, children: Children, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FILES_EACH", 3)
    decoders, seen = make(), set[int]()
    for _ in range(7):
        decoders.inspect(film)
        seen |= {p.pid for p in children()}
    assert len(seen) >= 3


def test_there_are_never_more_than_asked_for_and_who_waits_too_long_is_told(
    make: Make, children: Children, film: Path, endless: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAIT_S", 0.2)
    decoders = make(2, seconds=3)
    with ThreadPoolExecutor(3) as pool:
        held = [pool.submit(decoders.inspect, endless) for _ in range(2)]
        time.sleep(0.5)
        with pytest.raises(DecoderUnavailable, match="busy"):
            decoders.inspect(film)
        assert len(children()) == 2
        assert all(isinstance(one.exception(), UnreadableFile) for one in held)


def test_many_threads_share_them(make: Make, film: Path) -> None:
    decoders = make(2)
    with ThreadPoolExecutor(8) as pool:
        assert {f.rows for f in pool.map(decoders.inspect, [film] * 40)} == {64}


def test_it_knows_none_of_the_servers_secrets(
    make: Make, children: Children, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLINICAL_MM_DATABASE_URL", "postgresql://user:secret@host/db")
    make().inspect(film)
    assert "secret" not in str(children()[0].environ())


ORPHAN = """
import os, sys, threading
from pathlib import Path
from clinical_mm.limits import Limits
from clinical_mm.pictures.decoders import Decoders
decoders = Decoders(Limits(), 2)
film, endless = map(Path, sys.argv[1:])
threading.Thread(target=decoders.inspect, args=[endless], daemon=True).start()
decoders.inspect(film)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_none_outlives_the_process_that_started_it(film: Path, endless: Path, number: int) -> None:
    """One of them waits, the other is in the midst of a file."""
    parent = subprocess.Popen(
        [sys.executable, "-c", ORPHAN, str(film), str(endless)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"ready\n"
    family = psutil.Process(parent.pid).children(recursive=True)
    assert len(family) == 2
    parent.send_signal(number)
    parent.wait()
    assert psutil.wait_procs(family, timeout=3)[1] == []
