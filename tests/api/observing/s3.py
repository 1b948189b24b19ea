"""The few calls of Amazon S3's REST API that the service makes of an object store, over a dictionary."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Store(BaseHTTPRequestHandler):
    """PutObject, GetObject, HeadObject, DeleteObject, DeleteObjects."""

    protocol_version = "HTTP/1.1"
    held: dict[str, bytes]

    def do_PUT(self) -> None:
        data = self.held[self._name] = self._body()
        self._answer(200, data, send=False)

    def do_GET(self) -> None:
        self._answer(200 if self._name in self.held else 404, self.held.get(self._name, b""))

    def do_HEAD(self) -> None:
        self._answer(200 if self._name in self.held else 404, self.held.get(self._name, b""), send=False)

    def do_DELETE(self) -> None:
        self.held.pop(self._name, None)
        self._answer(204, b"", send=False)

    def do_POST(self) -> None:
        keys = re.findall(rb"<Key>(.*?)</Key>", self._body())
        for key in keys:
            self.held.pop(f"{self._name}/{key.decode()}", None)
        deleted = b"".join(b"<Deleted><Key>%b</Key></Deleted>" % key for key in keys)
        self._answer(200, b"<DeleteResult>%b</DeleteResult>" % deleted)

    @property
    def _name(self) -> str:
        return self.path.partition("?")[0]

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def _answer(self, status: int, data: bytes, *, send: bool = True) -> None:
        self.send_response(status)
        self.send_header("ETag", f'"{hashlib.md5(data).hexdigest()}"')
        self.send_header("Last-Modified", "Sat, 28 Nov 2026 09:00:00 GMT")
        self.send_header("Content-Length", str(len(data) if send or self.command == "HEAD" else 0))
        self.end_headers()
        if send:
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def listening_s3() -> Iterator[tuple[str, dict[str, bytes]]]:
    """Its address, and what it holds by path."""
    held: dict[str, bytes] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Held", (Store,), {"held": held}))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", held
    finally:
        server.shutdown()
        server.server_close()
