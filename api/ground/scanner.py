"""A virus scanner beside the service: every file that comes in is sent to clamd before anything of it is stored.

Own code: the clients there are for Python are LGPL and GPL, and what is needed is one command of clamd's.
Source: clamd(8), ``INSTREAM``: pieces, each behind its length (32 bits, network order), a length of 0 at the end.
"""

from __future__ import annotations

import logging
import re
import socket
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from api.problems import NotReady
from clinical_mm.errors import ClinicalMMError, InvalidConfig
from clinical_mm.limits import MB

log = logging.getLogger(__name__)
PIECE = 256 * 1024
LONGEST_REPLY = 4096
RETRY_AFTER_S = 10
_FOUND = re.compile(r"^stream: (?P<signature>.+) FOUND$")


class ScannerAway(NotReady):
    """The scanner does not answer, not in time, or not what was asked: 503, come again; nothing comes in unscanned."""

    def __init__(self) -> None:
        detail = "the virus scanner does not answer, and no file is taken unscanned; try again"
        super().__init__(detail, retry_after_s=RETRY_AFTER_S)


class ScannerFault(ClinicalMMError):
    """What went wrong between the scanner and here, for the log and the operator."""


class Scanner:
    """clamd at ``host:port``, or at the path of its socket."""

    def __init__(self, address: str, seconds: float) -> None:
        """``seconds``: until a file's answer is here, and a second more for each MB it has.

        Raises:
            InvalidConfig: the address is none.
        """
        self._place = _place(address)
        self._seconds = seconds

    def find(self, path: Path) -> str | None:
        """The signature that the file bears; None where it is clean.

        Raises:
            ScannerAway: nobody knows whether it is.
        """
        try:
            return _signature(self._stream(path))
        except (OSError, ScannerFault) as error:
            # its words are the scanner's own or the system's; none is the caller's
            log.warning("a file was not scanned: %s", _plain(str(error) or type(error).__name__))
            raise ScannerAway from error

    def version(self, seconds: float) -> str:
        """What it says it is: ``ClamAV 1.4.3/27912/Tue Mar 3 08:30:00 2026``, number and day of its signatures.

        Raises:
            OSError, ScannerFault: it does not answer within so many seconds.
        """
        until = time.monotonic() + seconds
        with self._connected(until) as line:
            line.sendall(b"zVERSION\0")
            return _plain(_reply(line, until))

    def _stream(self, path: Path) -> str:
        until = time.monotonic() + self._seconds + path.stat().st_size / MB
        with self._connected(until) as line:
            with suppress(BrokenPipeError, ConnectionResetError):  # on a file too large for it: it has said so before
                _send(line, path, until)
            return _reply(line, until)

    def _connected(self, until: float) -> socket.socket:
        if isinstance(self._place, tuple):
            return socket.create_connection(self._place, _left(until))
        line = socket.socket(socket.AF_UNIX)
        try:
            line.settimeout(_left(until))
            line.connect(self._place)
        except OSError:
            line.close()
            raise
        return line


def _place(address: str) -> str | tuple[str, int]:
    if address.startswith("/"):
        return address
    with suppress(ValueError):  # a port that is no number
        parts = urlsplit(f"//{address}")
        if parts.hostname and parts.port and parts.netloc == address:
            return parts.hostname, parts.port
    raise InvalidConfig("CLINICAL_MM_CLAMD must be host:port, or the path of clamd's socket")


def _send(line: socket.socket, path: Path, until: float) -> None:
    line.sendall(b"zINSTREAM\0")
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            line.settimeout(_left(until))
            line.sendall(len(piece).to_bytes(4, "big") + piece)
    line.sendall(bytes(4))


def _reply(line: socket.socket, until: float) -> str:
    """Up to its NUL, in however many pieces it comes."""
    got = b""
    while b"\0" not in got:
        line.settimeout(_left(until))
        piece = line.recv(LONGEST_REPLY)
        if not piece or len(got) > LONGEST_REPLY:
            raise ScannerFault("its answer has no end")
        got += piece
    return got.partition(b"\0")[0].decode("utf-8", "replace").strip()


def _signature(reply: str) -> str | None:
    if reply == "stream: OK":
        return None
    found = _FOUND.match(reply)
    if found is None:  # "INSTREAM size limit exceeded. ERROR", say
        raise ScannerFault(f"it says: {reply}")
    return _plain(found["signature"])


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("it takes too long")
    return left


def _plain(words: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in words)[:200]
