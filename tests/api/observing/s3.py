"""The few calls of Amazon S3's REST API that the service makes of an object store, over a dictionary."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def listening_s3() -> Iterator[tuple[str, dict[str, bytes]]]:
    """Its address, and what it holds by path."""
    held: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            held[self._path] = self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(200, held[self._path], body=False)

        def do_GET(self) -> None:
            self._answer(200 if self._path in held else 404, held.get(self._path, b""))

        def do_HEAD(self) -> None:
            self._answer(200 if self._path in held else 404, held.get(self._path, b""), body=False)

        def do_DELETE(self) -> None:
            held.pop(self._path, None)
            self._answer(204, b"", body=False)

        @property
        def _path(self) -> str:
            return self.path.partition("?")[0]

        def _answer(self, status: int, data: bytes, *, body: bool = True) -> None:
            self.send_response(status)
            self.send_header("ETag", f'"{hashlib.md5(data).hexdigest()}"')
            self.send_header("Last-Modified", "Sat, 28 Nov 2026 09:00:00 GMT")
            self.send_header("Content-Length", str(len(data) if body or self.command == "HEAD" else 0))
            self.end_headers()
            if body:
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", held
    finally:
        server.shutdown()
        server.server_close()
