"""A wire to a server that can be cut: a TCP proxy whose connections are reset, and which then listens no more."""

from __future__ import annotations

import select
import socket
import struct
import threading
from contextlib import suppress

RESET = struct.pack("ii", 1, 0)


class Wire:
    """Between a port of its own and ``port``, on this machine."""

    def __init__(self, port: int) -> None:
        self._far = ("127.0.0.1", port)
        self._ends: set[socket.socket] = set()
        self._listener = self._listen(0)
        self.port = int(self._listener.getsockname()[1])

    def cut(self) -> None:
        """Reset what runs over it, refuse what comes."""
        self._listener.close()
        for end in list(self._ends):
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                end.shutdown(socket.SHUT_RDWR)
                end.close()
        self._ends.clear()

    def mend(self) -> None:
        """Listen again, at the same port."""
        self._listener = self._listen(self.port)

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port), backlog=128)
        threading.Thread(target=self._accept, args=[listener], daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                threading.Thread(target=self._carry, args=[near], daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with suppress(OSError, ValueError), near, socket.create_connection(self._far) as far:
            self._ends |= {near, far}
            while True:
                for end in select.select([near, far], [], [])[0]:
                    data = end.recv(65536)
                    if not data:
                        return
                    (far if end is near else near).sendall(data)
