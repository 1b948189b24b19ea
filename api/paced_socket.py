"""A connection whose other end must keep up: a client that sends or reads too slowly holds a thread only so long."""

from __future__ import annotations

import errno
import socket
import time
from typing import TYPE_CHECKING, Self

from werkzeug.exceptions import RequestTimeout

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class PacedSocket(socket.socket):
    """A socket of a thread that may be held for ``grace_s`` and a second more for each ``bytes_s`` that moved."""

    grace_s: float
    bytes_s: float
    _since = 0.0
    _received = 0
    _waits = True

    @classmethod
    def of(cls, plain: socket.socket, grace_s: float, bytes_s: float) -> Self:
        """The same connection, paced; ``plain`` is used up."""
        paced = cls(plain.family, plain.type, plain.proto, plain.detach())
        paced.grace_s, paced.bytes_s = grace_s, bytes_s
        return paced

    def take(self, most: int) -> bytes:
        """What has arrived; empty where the other end is gone.

        Raises:
            BlockingIOError: nothing has.
        """
        self.setblocking(False)
        return super().recv(most)

    def restart(self) -> None:
        """Count anew: a request begins."""
        self._since, self._received, self._waits = time.monotonic(), 0, True

    def hurry(self) -> None:
        """Wait for nothing more: what is left of a request that has been answered comes at once or not at all."""
        self._waits = False

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """What comes next.

        Raises:
            RequestTimeout: the client is too slow; on purpose no OSError, which is read as a client that went away.
            TimeoutError: the same, where nothing is waited for any more.
        """
        if not self._waits:
            return self._at_once(bufsize)
        left = self._since + self.grace_s + self._received / self.bytes_s - time.monotonic()
        if left <= 0:
            raise RequestTimeout(self._reason())
        self.settimeout(left)
        try:
            data = super().recv(bufsize, flags)
        except TimeoutError as error:
            raise RequestTimeout(self._reason()) from error
        self._received += len(data)
        return data

    def sendall(self, data: ReadableBuffer, flags: int = 0, /) -> None:
        """Send it all.

        Raises:
            ConnectionResetError: the client reads too slowly.
        """
        self.settimeout(self.grace_s + memoryview(data).nbytes / self.bytes_s)
        try:
            super().sendall(data, flags)
        except TimeoutError as error:
            raise ConnectionResetError(errno.ECONNRESET, "the client does not read its answer") from error

    def _at_once(self, most: int) -> bytes:
        try:
            return self.take(most)
        except BlockingIOError as error:
            raise TimeoutError("nothing more has come") from error

    def _reason(self) -> str:
        return f"the body comes too slowly: send at least {self.bytes_s / 1024:.0f} KB a second"
