"""A server within the ordeal's own process: every call goes over HTTP, and the services can be looked at."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def listening(services: Any) -> Iterator[str]:
    """The address of a server on a free port, a thread a request."""
    from werkzeug.serving import WSGIRequestHandler, make_server

    from api.app import create_app

    class Quiet(WSGIRequestHandler):
        def log_request(self, *_: object) -> None:
            """A line a call would hide what an ordeal tells."""

    server = make_server("127.0.0.1", 0, create_app(services=services), threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(timeout=10)
        server.server_close()
