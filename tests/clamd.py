"""A real clamd whose only signature is a mark of these tests: no signatures are fetched, no virus is kept here."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MARK = b"this picture bears what the scanner looks for"
SIGNATURE = "Clinical.Test.Mark"
LARGEST = 64 * 1024
"""Bytes of the largest file that this clamd takes."""
LARGEST_LOOKED_INTO = 48 * 1024
CONFIGURATION = """\
Foreground yes
LogFile {folder}/clamd.log
LocalSocket {folder}/clamd.ctl
DatabaseDirectory {folder}/signatures
StreamMaxLength {largest}
MaxFileSize {looked_into}
AlertExceedsMax yes
"""


@contextmanager
def running_clamd(folder: Path) -> Iterator[str]:
    """The path of its socket; skips where there is no clamd (Debian: ``apt-get install clamav-daemon``)."""
    program = shutil.which("clamd", path=":".join(("/usr/local/sbin", "/usr/sbin", "/usr/bin", "/usr/local/bin")))
    if program is None:
        pytest.skip("clamd is not installed: apt-get install clamav-daemon")
    (folder / "signatures").mkdir(parents=True)
    (folder / "signatures" / "test.ndb").write_text(f"{SIGNATURE}:0:*:{MARK.hex()}\n", encoding="ascii")
    configuration = folder / "clamd.conf"
    said = CONFIGURATION.format(folder=folder, largest=LARGEST, looked_into=LARGEST_LOOKED_INTO)
    configuration.write_text(said, encoding="utf-8")
    process = subprocess.Popen([program, "--config-file", configuration], stdout=subprocess.DEVNULL)
    try:
        _wait(process, folder)
        yield str(folder / "clamd.ctl")
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait(process: subprocess.Popen[bytes], folder: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        with socket.socket(socket.AF_UNIX) as line:
            try:
                line.connect(str(folder / "clamd.ctl"))
            except OSError:
                time.sleep(0.1)
            else:
                return
    raise RuntimeError(f"clamd does not start: {(folder / 'clamd.log').read_text(encoding='utf-8')}")
