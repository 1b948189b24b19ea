"""``serve``: one process tree - gunicorn with one threaded worker, and an embedded job worker.

The model is loaded in the worker, after the fork: CUDA cannot be forked, and threads do not survive one.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from gunicorn.app.base import BaseApplication

from api.cases.sweep import sweep_orphans
from api.ground.ground import Ground
from api.ground.migrate import upgrade
from api.listener import Listener
from api.settings import Settings
from clinical_mm.errors import InvalidConfig

log = logging.getLogger(__name__)
GRACE_S = 5
OPEN_FILES = 65_536
KEEP_S = 65
"""Longer than clients and proxies keep an idle connection: who closes first must not be the one who is sent to."""


def run(settings: Settings, *, host: str, port: int, threads: int, sign_in_as: str | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C.

    ``sign_in_as``: id of a key; a link that signs one browser in as its holder is printed with the address.

    Raises:
        InvalidConfig: authentication is off on an address that others can reach.
    """
    if settings.auth == "off" and not _is_loopback(host):
        raise InvalidConfig(f"CLINICAL_MM_AUTH=off is refused on {host}: everybody who reaches it would be admin")
    _allow_many_files()
    upgrade(settings)
    _apart(_tidy, settings)
    Server(settings, host, port, threads, sign_in_as).run()


class Server(BaseApplication):  # type: ignore[misc] # gunicorn has no types
    """Gunicorn, configured here rather than by files or variables."""

    def __init__(self, settings: Settings, host: str, port: int, threads: int, sign_in_as: str | None) -> None:
        self.settings, self._sign_in_as = settings, sign_in_as
        self._bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._threads = threads
        self._jobs = EmbeddedWorker() if settings.embedded_worker else None
        super().__init__()

    def load_config(self) -> None:
        """One process, many threads."""
        options: dict[str, Any] = {
            "bind": self._bind,
            "workers": 1,
            "worker_class": Listener,
            "threads": self._threads,
            "timeout": 120,
            "keepalive": KEEP_S,
            "graceful_timeout": GRACE_S,
            "loglevel": "warning",
            "proc_name": "clinical-mm",
            "control_socket_disable": True,
            "when_ready": self._ready,
            "on_exit": self._exit,
        }
        for name, value in options.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Any:
        """The application; called in the worker process."""
        from api.app import create_app
        from api.services import build
        from clinical_mm.pictures.decoders import decoders_of

        services = build(self.settings)
        services.models.warm_up()
        decoders_of(self.settings.limits, self.settings.decoders).warm_up()
        return create_app(services=services)

    def _ready(self, arbiter: Any) -> None:
        if self._jobs is not None:
            self._jobs.start()
        host, port = arbiter.LISTENERS[0].sock.getsockname()[:2]
        address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        print(f"clinical_mm serves {address}{self._sign_in(address)}", flush=True)  # noqa: T201 - what is waited for

    def _sign_in(self, address: str) -> str:
        if self._sign_in_as is None:
            return ""
        from api.pages.session import sign_in_link

        ground = Ground.of(self.settings)
        try:
            return f" - sign in once with {sign_in_link(ground, self._sign_in_as, address)}"
        finally:
            ground.close()

    def _exit(self, _arbiter: Any) -> None:
        if self._jobs is not None:
            self._jobs.stop()


_SPAWNING = threading.Lock()
# A fork of this process in the midst of a Popen would keep the pipe open by which Popen learns that its child runs:
# Popen would wait until the forked web worker ends.
os.register_at_fork(before=_SPAWNING.acquire, after_in_parent=_SPAWNING.release, after_in_child=_SPAWNING.release)


def spawn(command: list[str]) -> subprocess.Popen[bytes]:
    """Start a process while no other thread forks."""
    with _SPAWNING:
        return subprocess.Popen(command)  # noqa: S603 - our own commands, no words of a caller


class EmbeddedWorker:
    """The job worker that belongs to this server: restarted when it dies, ended with it."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep, name="job worker", daemon=True)

    def start(self) -> None:
        """Start it and watch over it."""
        self._thread.start()

    def stop(self) -> None:
        """End it; what it does is resumed at the next start."""
        self._stop.set()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
        self._thread.join(timeout=GRACE_S)

    def _keep(self) -> None:
        while not self._stop.is_set():
            command = [sys.executable, "-m", "api.cli", "worker", "--with-parent", str(os.getpid())]
            self._process = spawn(command)
            while self._process.poll() is None and not self._stop.is_set():
                self._stop.wait(0.5)
            if not self._stop.wait(1):
                log.warning("the job worker ended with %s; starting another", self._process.returncode)


def _allow_many_files() -> None:
    """A thousand connections need more than the usual 1,024 open files."""
    few, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(few, min(most, OPEN_FILES)), most))


def _apart(step: Callable[[Settings], None], settings: Settings) -> None:
    # In a process of its own: the object store's library counts on threads that the forked web worker would not have,
    # and would wait for them for ever.
    with ProcessPoolExecutor(1, get_context("fork")) as process:
        process.submit(step, settings).result()


def _tidy(settings: Settings) -> None:
    ground = Ground.of(settings)
    try:
        removed = sweep_orphans(ground) + ground.spool.sweep()
    finally:
        ground.close()
    if removed:
        print(f"removed {removed} files that a crash had left without a case", flush=True)  # noqa: T201


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
