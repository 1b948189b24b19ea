"""``serve``: one process tree - gunicorn with one or more threaded web processes, and an embedded job worker.

The model is loaded in each web process, after the fork: CUDA cannot be forked, and threads do not survive one.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication
from sqlalchemy.exc import OperationalError

from api.cases.sweep import sweep_orphans
from api.ground import tracing
from api.ground.ground import Ground
from api.ground.gunicorn_logs import QuietLogger
from api.ground.heap import keep_small
from api.ground.logs import configure
from api.ground.migrate import upgrade
from api.ground.scope import whole_process
from api.listener import Listener
from api.observing.environment import port as free_port
from api.rolling import Draining, Readiness, RollingArbiter
from api.settings import Settings
from clinical_mm.errors import InvalidConfig

if TYPE_CHECKING:
    from api.models.service import Models
    from api.services import Services

log = logging.getLogger(__name__)
OPEN_FILES = 65_536
JOB_WORKER_ENDS_S, PORT_S = 5, 5
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which prometheus_client keeps its counts in files that every web process reads."""
KEEP_S = 65
"""Longer than clients and proxies keep an idle connection: who closes first must not be the one who is sent to."""


def run(settings: Settings, *, host: str, port: int, threads: int, sign_in_as: str | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C.

    ``sign_in_as``: id of a key; a link that signs one browser in as its holder is printed with the address.

    Raises:
        InvalidConfig: authentication is off on an address that others can reach, or the port cannot be had.
    """
    if settings.auth == "off" and not _is_loopback(host):
        raise InvalidConfig(f"CLINICAL_MM_AUTH=off is refused on {host}: everybody who reaches it would be admin")
    _wait_for_port(port, host)
    configure(settings.log_format, settings.log_level, settings.otlp_logs_endpoint)
    tracing.check(settings.otlp_endpoint)
    _allow_many_files()
    upgrade(settings)
    _apart(_tidy, settings)
    with _shared_metrics(settings.processes):
        Server(settings, host, port, threads, sign_in_as).run()


def _wait_for_port(port: int, host: str) -> None:
    """Web processes whose first one was killed let go of it only when they notice."""
    until = time.monotonic() + PORT_S
    while (found := free_port(port, host)).state != "ok":
        if time.monotonic() >= until:
            raise InvalidConfig(f"port {found.detail}: {found.do}")
        time.sleep(0.2)


class Server(BaseApplication):  # type: ignore[misc] # gunicorn has no types
    """Gunicorn, configured here rather than by files or variables."""

    def __init__(self, settings: Settings, host: str, port: int, threads: int, sign_in_as: str | None) -> None:
        self.settings, self._sign_in_as = settings, sign_in_as
        self._bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._threads = threads
        self._services: Services | None = None
        self.others_serve = False
        """Whether this process was begun while others were ready; told by the arbiter."""
        self._jobs = EmbeddedWorker() if settings.embedded_worker else None
        self._readiness, self._draining = Readiness(), Draining()
        super().__init__()

    def run(self) -> None:
        """Until it is told to stop."""
        RollingArbiter(self, self._readiness, self._draining, self.settings.drain_s).run()

    def load_config(self) -> None:
        """Few processes, many threads."""
        options: dict[str, Any] = {
            "bind": self._bind,
            "workers": self.settings.processes,
            "worker_class": Listener,
            "threads": self._threads,
            "timeout": 120,
            "keepalive": KEEP_S,
            "graceful_timeout": self.settings.grace_s,
            "logger_class": QuietLogger,
            "proc_name": "clinical-mm",
            "control_socket_disable": True,
            "forwarded_allow_ips": "",  # whom to believe about X-Forwarded-* is CLINICAL_MM_PROXIES' to say
            "when_ready": self._ready,
            "on_exit": self._exit,
            "worker_exit": self._leave,
        }
        for name, value in options.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Any:
        """The application; called in the web process."""
        keep_small()
        _share_cores(self.settings.processes)
        from api.app import create_app
        from api.services import build
        from clinical_mm.pictures.decoders import decoders_of

        whole_process(None)  # what the command line may, requests may not
        services = build(self.settings)
        services.ground.keep_watch()
        services.forgetting.start()
        services.models.warm_up()
        decoders_of(self.settings.limits, self.settings.decoders).warm_up()
        services.audit.reserve()
        services.anchors.start()
        self._services = services
        threading.Thread(target=self._tell_when_warm, args=[services.models], name="tell", daemon=True).start()
        return create_app(services=services, draining=self._draining)

    @property
    def may_answer(self) -> bool:
        """Whether this process takes requests: while its model loads, only where nobody else would."""
        return not self.others_serve or self._services is None or not self._services.models.is_warming

    def _tell_when_warm(self, models: Models) -> None:
        while models.is_warming:
            time.sleep(0.1)
        self._readiness.tell()

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

    def _leave(self, arbiter: Any, worker: Any) -> None:
        """In the web process, when it has answered its last request; the process ends at once.

        Taking apart all that a model has imported takes seconds.
        """
        if self._services is not None:
            self._services.anchors.close()
            self._services.audit.close()
            self._services.access.uses.close()
            tracing.stop()
        if worker.booted and os.getpid() != arbiter.pid:
            logging.shutdown()
            os._exit(0)

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
        self._thread.join(timeout=JOB_WORKER_ENDS_S)

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


@contextmanager
def _shared_metrics(processes: int) -> Iterator[None]:
    """A folder for the counts of several processes, so that whichever answers /metrics tells of all."""
    if processes == 1:
        yield
        return
    owner, folder = os.getpid(), tempfile.mkdtemp(prefix="clinical-mm-metrics-")
    os.environ[METRICS_FOLDER] = folder
    try:
        yield
    finally:
        if os.getpid() == owner:  # a web process leaves by the same way
            shutil.rmtree(folder, ignore_errors=True)


def _share_cores(processes: int) -> None:
    """Threads that spin for each other ruin two models on the same cores; read by torch when it is loaded."""
    if processes > 1:
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // processes)))


def _apart(step: Callable[[Settings], None], settings: Settings) -> None:
    # In a process of its own: the object store's library counts on threads that the forked web worker would not have,
    # and would wait for them for ever.
    with ProcessPoolExecutor(1, get_context("fork")) as process:
        process.submit(step, settings).result()


def _tidy(settings: Settings) -> None:
    ground, removed = Ground.of(settings), 0
    try:
        ground.blobs.check()
        removed = ground.spool.sweep()
        removed += sweep_orphans(ground)
    except OperationalError:  # no reason not to serve: what is not removed today lies until the next start
        print("the database is busy: files without a case are looked for at the next start", flush=True)  # noqa: T201
    finally:
        ground.close()
    if removed:
        print(f"removed {removed} files that a crash had left without a case", flush=True)  # noqa: T201


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
