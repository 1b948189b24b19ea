"""What a machine must offer: settings spelt right, secrets kept, files enough, a free port, encrypted lines."""

from __future__ import annotations

import difflib
import errno
import resource
import socket
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy.engine import make_url

from api.ground.blobs import Blobs, BlobsAway
from api.observing.bounded import Bounded
from api.observing.finding import Finding, fail, fine, warn
from api.settings import Settings, secret_files

PREFIX = "CLINICAL_MM_"
NOT_OURS = (f"{PREFIX}TEST_", f"{PREFIX}TRIALS_URL")
"""Names that the tests and the worker's own child processes use."""
ENOUGH_FILES = 1024
ROUND_TRIP_S = 5.0
STORES = ("AWS_ENDPOINT", "AWS_ENDPOINT_URL")
"""The variables by which an object store that is not the cloud's own is named."""
DO_ABOUT_PORT = {
    errno.EADDRINUSE: "`serve` runs already, or another program has it: serve --port N",
    errno.EACCES: "below 1024 only root may: serve --port N, and a proxy before it",
}
LOOPBACK = {"", "localhost", "127.0.0.1", "::1"}
OPEN = {"http", "redis"}
GUARDED = {"require", "verify-ca", "verify-full"}


def settings_names(environment: Mapping[str, str], dotenv: Path) -> Finding:
    """Names that look like settings and are none: a slip of the pen would else be passed over in silence."""
    from dotenv import dotenv_values

    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    given = {*environment, *(dotenv_values(dotenv) if dotenv.is_file() else {})}
    ours = {name for name in given if name.upper().startswith(PREFIX) and not name.startswith(NOT_OURS)}
    unknown = sorted(name for name in ours if name.upper() not in known)
    if unknown:
        return warn(f"unknown: {'; '.join(_nearest(name, known) for name in unknown)}", "see docs/settings.md")
    return fine(f"{len(ours)} set, each known")


def _nearest(name: str, known: Iterable[str]) -> str:
    bare = [one.removeprefix(PREFIX) for one in known]
    near = difflib.get_close_matches(name.upper().removeprefix(PREFIX), bare, n=1, cutoff=0.6)
    return f"{name} (is {PREFIX}{near[0]} meant?)" if near else name


def kept_secrets(workspace: Path, dotenv: Path, mounted: Path | None = None) -> Finding:
    """Whether others on this machine may read what signs sessions, passwords, or patients' data.

    A group may: what is mounted from a vault belongs to root, and to the pod by its group alone (``fsGroup``).
    """
    secret = [*workspace.glob("*.secret"), *workspace.glob("*.key"), *([dotenv] if dotenv.is_file() else [])]
    secret += secret_files(mounted) if mounted is not None else []
    open_ones = sorted(path for path in secret if _mode(path) & 0o007)
    if open_ones:
        names = " ".join(str(path) for path in open_ones)
        do = f"chmod 600 {names} (mounted: defaultMode 0440); then make new what it held"
        return fail(f"readable by everybody on this machine: {names}", do)
    if workspace.is_dir() and _mode(workspace) & 0o007:
        return warn(
            f"everybody on this machine may enter {workspace}", f"chmod 750 {workspace}: patients' data lie there"
        )
    return fine("readable by their owner, or group, alone")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def open_files(limit: int | None = None) -> Finding:
    """Whether the process may open files and connections enough."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if limit is None else limit
    if soft != resource.RLIM_INFINITY and soft < ENOUGH_FILES:
        return warn(f"at most {soft} open files", f"ulimit -n {ENOUGH_FILES}, or LimitNOFILE= of its service unit")
    return fine("no limit" if soft == resource.RLIM_INFINITY else f"at most {soft}")


def transport(settings: Settings, environment: Mapping[str, str]) -> Finding:
    """Whether what leaves this machine is encrypted; ``serve`` itself speaks plain HTTP, for a proxy with TLS."""
    database = make_url(settings.sqlalchemy_url)
    open_ones = []
    if database.host not in {None, *LOOPBACK} and database.query.get("sslmode") not in GUARDED:
        open_ones.append("the database (add ?sslmode=verify-full to CLINICAL_MM_DATABASE_URL)")
    if _leaves(settings.clamd):
        open_ones.append("CLINICAL_MM_CLAMD (clamd knows no TLS: run it on this machine, or in the same pod)")
    addresses = {
        "CLINICAL_MM_OTLP_ENDPOINT": settings.otlp_endpoint,
        "CLINICAL_MM_MLFLOW_TRACKING_URI": settings.mlflow_tracking_uri,
        "CLINICAL_MM_RATE_LIMIT_STORAGE": settings.rate_limit_storage,
        **({name: environment.get(name, "") for name in STORES} if settings.blob_url else {}),
    }
    for name, address in addresses.items():
        parts = urlsplit(address)
        if parts.scheme in OPEN and parts.hostname not in LOOPBACK:
            open_ones.append(f"{name} ({parts.scheme}s instead of {parts.scheme})")
    if open_ones:
        return warn(f"not encrypted: {', '.join(open_ones)}", "patients' data may pass there")
    if not settings.proxies:
        return fine("where others reach `serve`, let a proxy with TLS stand before it: CLINICAL_MM_PROXIES=1")
    return fine(f"X-Forwarded-For, -Proto and -Host of {settings.proxies} proxies are believed (CLINICAL_MM_PROXIES)")


def _leaves(clamd: str) -> bool:
    return bool(clamd) and not clamd.startswith("/") and urlsplit(f"//{clamd}").hostname not in LOOPBACK


def port(number: int, host: str = "127.0.0.1") -> Finding:
    """Whether ``serve`` would get its port; 0 = any that is free."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        told = f"{number} on {host} cannot be had: {error.strerror or error}"
        return warn(told, DO_ABOUT_PORT.get(error.errno or 0, "see that the address is one of this machine's"))
    return fine(f"{number} is free")


def round_trip(blobs: Blobs, where: str) -> Finding:
    """Store, read and remove a blob; an object store that says nothing is not waited for."""

    def try_it() -> bool:
        digest = blobs.put(b"clinical_mm doctor")
        try:
            return bool(blobs.get(digest) == b"clinical_mm doctor")
        finally:
            blobs.delete(digest)

    do = "see CLINICAL_MM_BLOB_URL, the credentials and rights of its cloud, and the network"
    try:
        same = Bounded("blobs", try_it, 0.0).within(ROUND_TRIP_S)
    except TimeoutError:
        return fail(f"{where} gives no answer within {ROUND_TRIP_S:g} s", do)
    except BlobsAway as error:
        cause = error.__cause__ or error
        return fail(f"{where}: {type(cause).__name__}: {str(cause).splitlines()[0]}", do)
    return fine(f"written, read and removed in {where}") if same else fail(f"{where} gives other bytes back", do)
