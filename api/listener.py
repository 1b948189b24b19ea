"""The web worker: waits for clients in its loop, and gives a thread only to a request that is there.

Gunicorn's own reads each request in a thread, so that as many slow clients as there are threads stop the service. Here
the loop gathers the head and the first 64 KB of the body; most requests are whole by then. Larger bodies are read by
threads, paced, and never by so many that none is left for the others. The health check has a thread of its own.
"""

from __future__ import annotations

import errno
import json
import re
import selectors
import signal
import socket
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any

from gunicorn import http
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, TConn
from werkzeug.exceptions import RequestTimeout

from api.access.browser import FOR_ALL, FOR_DATA
from api.ground.gunicorn_logs import QuietWorker
from api.paced_socket import PacedSocket

FIRST_BYTES = 64 * 1024
MOST_HEAD = 64 * 1024
LINGER_S = 3.0
"""So long what a client still sends is read and forgotten after its answer: closing at once would tear that up."""
RETRY_AFTER_S = 5
CROWDED = 0.9
"""Of the connections there may be."""
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE})
_NOBODY = frozenset({errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK})
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r\n", re.IGNORECASE)
_UNKNOWN_LENGTH = re.compile(rb"\r\n(transfer-encoding|expect):", re.IGNORECASE)
_HEALTH = re.compile(rb"(GET|HEAD) /healthz[ ?]")


@dataclass(eq=False)
class Arrival:
    """A request that is on its way: what came of it, and until when the rest is waited for."""

    conn: TConn
    until: float
    got: bytearray = field(default_factory=bytearray)
    head_end: int = -1

    def is_here(self) -> bool:
        """Whether a thread may have it: the head and what of the body is waited for."""
        if self.head_end < 0:
            self.head_end = self.got.find(b"\r\n\r\n") + 4 if b"\r\n\r\n" in self.got else -1
        if self.head_end < 0:
            return len(self.got) > MOST_HEAD  # the parser refuses it
        return len(self.got) - self.head_end >= min(self.body_bytes or 0, FIRST_BYTES)

    @property
    def body_bytes(self) -> int | None:
        """The length of the body as told; None where it is not, or where the client waits to be asked for it."""
        head = bytes(self.got[: self.head_end])
        if _UNKNOWN_LENGTH.search(head):
            return None
        told = _LENGTH.search(head)
        return int(told[1]) if told else 0

    @property
    def is_large(self) -> bool:
        """Whether a thread will have to wait for more of it."""
        return self.head_end >= 0 and (self.body_bytes is None or self.body_bytes > FIRST_BYTES)

    @property
    def is_health_check(self) -> bool:
        """Whether somebody asks for /healthz."""
        return _HEALTH.match(self.got) is not None


class Listener(QuietWorker):
    """A gthread worker that slow clients do not stop."""

    def init_process(self) -> None:
        """Set up what the loop keeps, then run it."""
        self._arrive_s: float = self.app.settings.client_seconds
        self._bytes_s: float = self.app.settings.client_kb_s * 1024
        self._arriving: set[Arrival] = set()
        self._in_line: deque[Arrival] = deque()
        self._large: set[TConn] = set()
        self._lingering: dict[TConn, float] = {}
        self._most_large = max(1, self.cfg.threads - 2)
        self._health = ThreadPoolExecutor(1, "health")
        super().init_process()

    def accept(self, listener: Any) -> None:
        """Take a connection and wait for its request in the loop."""
        try:
            sock, address = listener.accept()
        except OSError as error:
            if error.errno in _NO_ROOM:
                time.sleep(0.05)  # until others close
            elif error.errno not in _NOBODY:
                raise
            return
        self.nr_conns += 1
        self._expect(
            TConn(self.cfg, PacedSocket.of(sock, self._arrive_s, self._bytes_s), address, listener.getsockname())
        )

    def set_accept_enabled(self, enabled: bool) -> None:
        """Take connections once there is no other process that is quicker to answer, and never while stopping.

        A process that stops leaves the socket: whoever connects is not kept waiting for one who takes nobody.
        """
        super().set_accept_enabled(enabled and self.app.may_answer)
        if not self.alive:
            for listener in self.sockets:
                listener.close()

    def handle_quit(self, sig: int, frame: Any) -> None:
        """The first Ctrl-C ends it; one more, from the terminal and from the arbiter, must not cut that short."""
        for number in (signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, lambda *_: None)  # SIG_IGN would raise for one that has come already
        super().handle_quit(sig, frame)

    def enqueue_req(self, conn: TConn) -> None:
        """Serve a request that came together with the one before."""
        self._start(conn, self.tpool)

    def on_client_socket_readable(self, conn: TConn, client: Any) -> None:
        """A kept connection sends its next request."""
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._expect(conn)

    def finish_request(self, conn: TConn, fs: Future[Any]) -> None:
        """Keep the connection, or let it end by itself; never wait for it here."""
        self._large.discard(conn)
        self._call_next()
        if not fs.cancelled() and fs.exception() is None and fs.result():
            super().finish_request(conn, fs)
        else:
            self._linger(conn)

    def murder_pending(self) -> None:
        """Refuse what has not arrived in time, and close what has lingered; the loop calls it once a second."""
        moment = time.monotonic()
        if self.nr_conns > CROWDED * self.worker_connections:
            self._cap_keepalive(moment)  # idle connections make room
        if not self.alive:  # whoever has begun to send is heard out; whoever has not may be about to
            for arrival in self._arriving:
                arrival.until = arrival.until if arrival.got else min(arrival.until, moment + STOP_KEEPALIVE_LINGER)
        for arrival in [a for a in self._arriving if a.until < moment]:
            self._arriving.discard(arrival)
            self.poller.unregister(arrival.conn.sock)
            if arrival.got and self.alive:
                self._refuse(arrival.conn, HTTPStatus.REQUEST_TIMEOUT, "the request comes too slowly")
            else:
                self._close(arrival.conn)
        while self._in_line and self._in_line[0].until < moment:
            conn = self._in_line.popleft().conn
            self._refuse(conn, HTTPStatus.SERVICE_UNAVAILABLE, "too many uploads at once; try again")
        for conn in [c for c, until in self._lingering.items() if until < moment]:
            self._end_linger(conn)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """What a thread could not read as a request."""
        if isinstance(exc, RequestTimeout):
            with suppress(OSError):
                client.sendall(_answer(HTTPStatus.REQUEST_TIMEOUT, "the request comes too slowly"))
        else:
            super().handle_error(req, _Refused(client), addr, exc)

    def _expect(self, conn: TConn) -> None:
        arrival = Arrival(conn, time.monotonic() + self._arrive_s)
        self._arriving.add(arrival)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._receive, arrival))
        self._receive(arrival, conn.sock)

    def _receive(self, arrival: Arrival, sock: PacedSocket) -> None:
        try:
            piece = sock.take(FIRST_BYTES)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        arrival.got += piece
        if piece and not arrival.is_here():
            return
        self._arriving.discard(arrival)
        self.poller.unregister(sock)
        if piece:
            self._serve(arrival)
        else:
            self._close(arrival.conn)

    def _serve(self, arrival: Arrival) -> None:
        conn = arrival.conn
        if conn.parser is None:
            conn.parser = http.get_parser(self.cfg, conn.sock, conn.client)
        conn.parser.unreader.unread(bytes(arrival.got))
        conn.initialized = conn.data_ready = True
        if arrival.is_large:
            arrival.until = time.monotonic() + self._arrive_s
            self._in_line.append(arrival)
            self._call_next()
        else:
            self._start(conn, self._health if arrival.is_health_check else self.tpool)

    def _call_next(self) -> None:
        while self._in_line and len(self._large) < self._most_large:
            conn = self._in_line.popleft().conn
            self._large.add(conn)
            self._start(conn, self.tpool)

    def _start(self, conn: TConn, pool: ThreadPoolExecutor) -> None:
        conn.sock.restart()
        working = pool.submit(self.handle, conn)
        working.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, conn, done))

    def handle_request(self, req: Any, conn: TConn) -> bool:
        """Tell a client whose body is not wanted to its end that the connection closes, so that it sends nothing more.

        Found out only afterwards, its next request may be on its way already, and gets no answer.
        """
        if conn in self._large:
            as_told = req.should_close
            req.should_close = lambda: as_told() or getattr(req.body.reader, "length", 1) > 0
        return bool(super().handle_request(req, conn))

    def _keepalive_after(self, conn: TConn, keepalive: bool) -> bool:
        conn.sock.hurry()  # a body that nobody wanted is not waited for
        return bool(super()._keepalive_after(conn, keepalive))

    def _refuse(self, conn: TConn, status: HTTPStatus, detail: str) -> None:
        with suppress(OSError):
            conn.sock.setblocking(False)
            conn.sock.send(_answer(status, detail))
        self._linger(conn)

    def _linger(self, conn: TConn) -> None:
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._forget, conn))
        except (OSError, ValueError):  # the thread closed it
            self._close(conn)
            return
        self._lingering[conn] = time.monotonic() + LINGER_S

    def _forget(self, conn: TConn, sock: PacedSocket) -> None:
        try:
            over = not sock.take(FIRST_BYTES)
        except BlockingIOError:
            return
        except OSError:
            over = True
        if over:
            self._end_linger(conn)

    def _end_linger(self, conn: TConn) -> None:
        del self._lingering[conn]
        self.poller.unregister(conn.sock)
        self._close(conn)

    def _close(self, conn: TConn) -> None:
        self.nr_conns -= 1
        conn.close()


class _Refused:
    """A client to which gunicorn's own page of an error goes as a problem of the same status."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def sendall(self, page: bytes) -> None:
        status = HTTPStatus(int(page.split(b" ", 2)[1]))
        self._client.sendall(_answer(status, "this cannot be read as a request"))


def _answer(status: HTTPStatus, detail: str) -> bytes:
    """A problem (RFC 9457) before there is a request to answer."""
    body = json.dumps({"type": "about:blank", "title": status.phrase, "status": status, "detail": detail}).encode()
    retry = f"Retry-After: {RETRY_AFTER_S}\r\n" if status == HTTPStatus.SERVICE_UNAVAILABLE else ""
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\nCache-Control: no-store\r\n"
        f"Content-Security-Policy: {FOR_DATA}\r\n"
    )
    more = "".join(f"{name}: {value}\r\n" for name, value in FOR_ALL.items())
    return f"{head}{more}{retry}\r\n".encode() + body
