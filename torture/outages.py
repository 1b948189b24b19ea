"""The database or the object store gone under load (target R9): stopped, and frozen so that it says nothing.

Clients send cases and read back what was acknowledged, all the time. Every answer must come within two seconds, as
itself or as 503 with Retry-After; afterwards all that was acknowledged is there, and it works again within seconds.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from api.access.service import Role
from api.ground.migrate import upgrade
from api.services import build
from api.settings import Settings
from tests.whole.server import Server
from torture.killed_uploads import picture
from torture.objects import BUCKET, credentials, object_store
from torture.outcome import Outcome
from torture.postgresql import postgresql

TITLE = "The database or the object store gone under load (R9)"
GONE_S, CLIENTS, MOST_S, BACK_S = 30.0, 8, 2.0, 5.0
SHORT_GONE_S, SHORT_MOST_S = 5.0, 4.5
"""The short form runs beside other tests, which take seconds from it: there a wait for the end of it all is a fault."""


@dataclass(frozen=True)
class Call:
    """One request: when it was sent and answered, what it was, and the status, or the name of what went wrong."""

    began: float
    ended: float
    kind: str
    status: int | str


@dataclass
class Load:
    """What the clients did, and what was acknowledged to them: SHA-256 of the file by case."""

    calls: list[Call] = field(default_factory=list)
    acknowledged: dict[str, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Outage:
    """Something gone from ``began`` to ``ended``."""

    name: str
    began: float
    ended: float


def run(short: bool) -> Outcome:
    gone, most = (SHORT_GONE_S, SHORT_MOST_S) if short else (GONE_S, MOST_S)
    with tempfile.TemporaryDirectory(prefix="cmm-gone-") as folder, postgresql() as database, object_store() as store:
        environment = {
            "CLINICAL_MM_DATABASE_URL": database.url,
            "CLINICAL_MM_BLOB_URL": f"s3://{BUCKET}/blobs",
            "CLINICAL_MM_EMBEDDED_WORKER": "false",
            **credentials(store.port),
        }
        os.environ.update(credentials(store.port))
        settings = Settings(workspace=Path(folder) / "workspace", database_url=database.url, _env_file=None)  # type: ignore[call-arg]
        key = _key(settings)
        ways: list[tuple[str, Callable[[], None], Callable[[], None]]] = [
            ("database frozen", database.freeze, database.thaw),
            ("database stopped", database.stop, database.start),
            ("object store frozen", store.freeze, store.thaw),
            ("object store stopped", store.stop, store.start),
        ]
        with Server(settings.workspace, environment, ("serve", "--threads", str(2 * CLIENTS))) as server:
            load, outages = _under_load(server.url, key, ways, gone)
            lost = _lost(server.url, key, load)
        unforeseen = [line for line in server.printed().splitlines() if "unexpected error" in line]
    faults = [*_faults(load, outages, lost, most), *unforeseen]
    return Outcome("\n".join(_table(gone, load, outages, lost)), faults)


def _key(settings: Settings) -> str:
    upgrade(settings)
    services = build(settings.model_copy(update={"blob_url": ""}))
    try:
        return services.access.create_key(services.access.operator(), Role.CLINICIAN, "load")[1]
    finally:
        services.close()


def _under_load(
    url: str, key: str, ways: list[tuple[str, Callable[[], None], Callable[[], None]]], gone: float
) -> tuple[Load, list[Outage]]:
    load, over, outages = Load(), threading.Event(), list[Outage]()
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(_client, n, url, key, load, over) for n in range(CLIENTS)]
        time.sleep(min(2.0, gone))
        for name, take, give_back in ways:
            began = time.monotonic()
            take()
            time.sleep(gone)
            give_back()
            outages.append(Outage(name, began, time.monotonic()))
            time.sleep(min(BACK_S + 1, 2 * gone))
        over.set()
        for client in clients:
            client.result()
    return load, outages


def _client(number: int, url: str, key: str, load: Load, over: threading.Event) -> None:
    """Sends a case and reads an acknowledged one, in turn."""
    sent = 0
    with httpx.Client(base_url=f"{url}/v1", headers={"Authorization": f"Bearer {key}"}, timeout=60) as http:
        while not over.is_set():
            sent += 1
            data = picture(number * 1_000_000 + sent)
            case = json.dumps({"external_id": f"{number}-{sent}", "patient": {"id": f"{number}"}})
            answer = _called(load, "send", lambda: http.post("/cases", data={"case": case}, files=[("files", data)]))  # noqa: B023
            if answer is not None and answer.status_code == 201:
                with load.lock:
                    load.acknowledged[answer.json()["id"]] = hashlib.sha256(data).hexdigest()
            with load.lock:
                some = next(reversed(load.acknowledged), None)
            if some is not None:
                _called(load, "read", lambda: http.get(f"/cases/{some}/files/0"))  # noqa: B023
            time.sleep(0.05)


def _called(load: Load, kind: str, call: Callable[[], httpx.Response]) -> httpx.Response | None:
    began, answer = time.monotonic(), None
    try:
        answer = call()
        status: int | str = answer.status_code
        if status == 503 and "Retry-After" not in answer.headers:
            status = "503 without Retry-After"
    except httpx.TransportError as error:
        status = type(error).__name__
    with load.lock:
        load.calls.append(Call(began, time.monotonic(), kind, status))
    return answer


def _lost(url: str, key: str, load: Load) -> int:
    """Acknowledged cases that are not there, or other than they were sent."""
    with httpx.Client(base_url=f"{url}/v1", headers={"Authorization": f"Bearer {key}"}, timeout=60) as http:
        found = {case: http.get(f"/cases/{case}/files/0") for case in load.acknowledged}
    return sum(hashlib.sha256(found[case].content).hexdigest() != digest for case, digest in load.acknowledged.items())


def _during(load: Load, outage: Outage) -> list[Call]:
    """Every call that saw something of an outage: sent before its end and answered after its begin."""
    return [c for c in load.calls if c.ended > outage.began and c.began < outage.ended + BACK_S]


def _back_after(load: Load, outage: Outage) -> float:
    """Seconds from its end until a case was stored and one was read, both sent since then."""
    firsts = []
    for kind, status in (("send", 201), ("read", 200)):
        good = [c.ended for c in load.calls if c.kind == kind and c.status == status and c.began >= outage.ended]
        firsts.append(min(good, default=float("inf")) - outage.ended)
    return max(firsts)


def _table(gone: float, load: Load, outages: list[Outage], lost: int) -> Iterator[str]:
    yield f"{CLIENTS} clients send cases and read them, one web process; each thing is gone for {gone:.0f} s."
    yield f"{len(load.acknowledged)} cases were acknowledged, of which {lost} were lost or changed (target: 0)."
    yield ""
    yield "| gone | answers | longest, s | longer than 2 s (target: 0) | works again after, s (target: 5) |"
    yield "|---|---|---|---|---|"
    for outage in outages:
        calls = _during(load, outage)
        took = [c.ended - c.began for c in calls]
        told = ", ".join(f"{n} x {status}" for status, n in Counter(c.status for c in calls).most_common())
        late = sum(t > MOST_S for t in took)
        yield f"| {outage.name} | {told} | {max(took):.2f} | {late} | {_back_after(load, outage):.1f} |"


def _faults(load: Load, outages: list[Outage], lost: int, most: float) -> Iterator[str]:
    if lost:
        yield f"{lost} acknowledged cases are lost or changed"
    other = Counter(c.status for c in load.calls if c.status not in {200, 201, 503})
    if other:
        yield f"answers that are neither good nor 503 with Retry-After: {dict(other)}"
    for outage in outages:
        calls = _during(load, outage)
        late = [c for c in calls if c.ended - c.began > most]
        if late:
            yield f"{outage.name}: {len(late)} answers took longer than {most:.0f} s"
        if not any(c.status == 503 for c in calls):
            yield f"{outage.name}: nobody was told, so it was not gone"
        if (back := _back_after(load, outage)) > BACK_S:
            yield f"{outage.name}: works again only after {back:.1f} s"
