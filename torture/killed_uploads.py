"""``kill -9`` at random moments of uploads (target R1), on SQLite and on PostgreSQL.

Four clients send cases of two files each. The server's whole process group is killed, or its web process alone; then
it is started again, which sweeps. Nothing may be half stored, nothing that was acknowledged lost or changed. Some of
PostgreSQL's commits take seconds, as they do on a busy disk: what a killed process had asked for is stored after the
next one has started.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import psutil
from PIL import Image
from sqlalchemy import create_engine, select

from api.access.service import Role
from api.cases.tables import BlobUseRow, CaseFileRow, CaseRow
from api.ground.migrate import upgrade
from api.services import Services, build
from api.settings import Settings
from clinical_mm.phantom import draw
from torture.forked import ForkedServers
from torture.outcome import Outcome
from torture.postgresql import postgresql

TITLE = "Uploads killed at random moments (R1)"
MOMENTS, SHORT_MOMENTS, CLIENTS, SEED = 500, 50, 4, 0
MOST, LONGEST_S, WAIT_S = 6, 0.2, 30.0
"""A kill comes at a random moment after so many answers at most; a slow machine is waited for."""
SLOW_COMMITS = """
CREATE FUNCTION slow_commit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN IF random() < 0.2 THEN PERFORM pg_sleep(4 * random()); END IF; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER slow_commit AFTER INSERT ON cases DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION slow_commit()"""
"""One in five takes up to four seconds; a deferred trigger runs within COMMIT."""


@dataclass
class Tally:
    """What came of one database."""

    moments: int = 0
    sent: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """External id -> SHA-256 of its files."""
    acknowledged: dict[str, str] = field(default_factory=dict)
    """Case id -> external id."""
    half_stored: int = 0
    lost_or_changed: int = 0
    orphans: int = 0
    stored: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def run(short: bool) -> Outcome:
    moments = (SHORT_MOMENTS if short else MOMENTS) // 2
    with (
        tempfile.TemporaryDirectory(prefix="cmm-kill-") as folder,
        postgresql() as server,
        ThreadPoolExecutor(2) as both,
    ):
        places = [_ready(Path(folder) / name, url) for name, url in (("sqlite", ""), ("postgresql", server.url))]
        tallies = list(both.map(lambda settings: _killed(settings, moments), places))
    return Outcome(table="\n".join(_table(tallies)), faults=list(_faults(tallies)))


def _ready(workspace: Path, url: str) -> Settings:
    """A workspace with a migrated database; Alembic takes one at a time."""
    settings = Settings(workspace=workspace, database_url=url, embedded_worker=False, _env_file=None)  # type: ignore[call-arg]
    upgrade(settings)
    if url:
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.exec_driver_sql(SLOW_COMMITS)
        engine.dispose()
    return settings


def _killed(settings: Settings, moments: int) -> Tally:
    services, tally, chance = build(settings), Tally(), random.Random(SEED)
    _, key = services.access.create_key(services.access.operator(), Role.CLINICIAN, "killed")
    film = next(d.case.images[0].read() for d in draw(20, SEED) if d.case.images)
    extra = {"CLINICAL_MM_DATABASE_URL": settings.database_url, "CLINICAL_MM_EMBEDDED_WORKER": "false"}
    try:
        with ForkedServers(settings.workspace, extra, CLIENTS) as servers:
            for _ in range(moments):
                servers.start()
                _look(services, tally)
                _upload_until_killed(servers, key, film, tally, chance)
            servers.start()
            _look(services, tally)
            _compare(services, servers.url, key, tally)
            servers.stop()
    finally:
        services.close()
    return tally


def _upload_until_killed(servers: ForkedServers, key: str, film: bytes, tally: Tally, chance: random.Random) -> None:
    over, enough = threading.Event(), len(tally.acknowledged) + chance.randint(0, MOST)
    with ThreadPoolExecutor(CLIENTS) as pool:
        for _ in range(CLIENTS):
            pool.submit(_upload, servers.url, key, film, tally, over)
        deadline = time.monotonic() + WAIT_S
        while len(tally.acknowledged) < enough and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, LONGEST_S))
        if chance.random() < 0.3:  # the web process alone; its master starts another, which goes on without a sweep
            for child in psutil.Process(servers.pid).children():
                child.kill()
            time.sleep(chance.uniform(0, 5 * LONGEST_S))
        over.set()
        servers.kill()
    tally.moments += 1


def _upload(url: str, key: str, film: bytes, tally: Tally, over: threading.Event) -> None:
    """One client: case after case, until it is over."""
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=10) as http:
        while not over.is_set():
            with tally.lock:
                name = f"case-{len(tally.sent)}"
                files = (_film(film, name), picture(len(tally.sent)))
                tally.sent[name] = tuple(hashlib.sha256(data).hexdigest() for data in files)
            case = json.dumps({"external_id": name, "patient": {"id": name}, "note": "Fever."})
            try:
                answer = http.post("/v1/cases", data={"case": case}, files=[("files", data) for data in files])
            except httpx.TransportError:
                continue
            if answer.status_code == 201:
                with tally.lock:
                    tally.acknowledged[answer.json()["id"]] = name


def _film(film: bytes, name: str) -> bytes:
    """A DICOM like no other: its last pixels differ."""
    return film[:-16] + hashlib.sha256(name.encode()).digest()[:16]


def picture(seed: int) -> bytes:
    """A small picture like no other."""
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (48, 48), dtype=np.uint8)).save(out, "PNG")
    return out.getvalue()


def _look(services: Services, tally: Tally) -> None:
    """After the sweep at start: cases without one of their files, files without a case."""
    with services.ground.database.reading() as session:
        names = dict(session.execute(select(CaseRow.id, CaseRow.external_id)).tuples().all())
        files: dict[str, list[str]] = {case: [] for case in names}
        for case, digest in session.execute(select(CaseFileRow.case_id, CaseFileRow.sha256)):
            files[case].append(digest)
        used = set(session.scalars(select(BlobUseRow.sha256)))
    held = {digest for digest, _ in services.ground.blobs.list()}
    tally.half_stored += sum(
        set(files[case]) != set(tally.sent[name]) or not set(files[case]) <= held
        for case, name in names.items()
        if name
    )
    tally.orphans += len(held - used)
    tally.stored = len(names)


def _compare(services: Services, url: str, key: str, tally: Tally) -> None:
    """Fetch every acknowledged case, and every stored one, file by file."""
    with services.ground.database.reading() as session:
        stored = dict(session.execute(select(CaseRow.id, CaseRow.external_id)).tuples().all())
    with httpx.Client(base_url=f"{url}/v1", headers={"Authorization": f"Bearer {key}"}, timeout=30) as http:
        for case, name in {**stored, **tally.acknowledged}.items():
            answers = [http.get(f"/cases/{case}/files/{n}") for n in range(2)]
            found = tuple(hashlib.sha256(a.content).hexdigest() if a.status_code == 200 else "" for a in answers)
            tally.lost_or_changed += found != tally.sent[str(name)]


def _table(tallies: list[Tally]) -> Iterator[str]:
    yield f"{CLIENTS} clients, cases of two files, seed {SEED}. Three in ten kills take the web process alone first."
    yield "On PostgreSQL one commit in five takes up to 4 s: what a killed process asked for ends after the next start."
    yield ""
    yield "| what | SQLite | PostgreSQL | target |"
    yield "|---|---|---|---|"
    rows: list[tuple[str, list[int], str]] = [
        ("moments", [t.moments for t in tallies], ""),
        ("cases sent", [len(t.sent) for t in tallies], ""),
        ("acknowledged", [len(t.acknowledged) for t in tallies], ""),
        ("stored", [t.stored for t in tallies], ""),
        ("half-stored cases", [t.half_stored for t in tallies], "0"),
        ("acknowledged cases lost, or any file not byte-identical", [t.lost_or_changed for t in tallies], "0"),
        ("orphans after the sweep at start", [t.orphans for t in tallies], "0"),
    ]
    for name, values, target in rows:
        yield f"| {name} | {' | '.join(map(str, values))} | {target} |"


def _faults(tallies: list[Tally]) -> Iterator[str]:
    for name, tally in zip(("SQLite", "PostgreSQL"), tallies, strict=True):
        if tally.half_stored or tally.lost_or_changed or tally.orphans:
            told = f"{tally.half_stored} half stored, {tally.lost_or_changed} lost or changed, {tally.orphans} orphans"
            yield f"{name}: {told}"
        if not 0 < len(tally.acknowledged) < len(tally.sent):
            yield f"{name}: {len(tally.acknowledged)} of {len(tally.sent)} answered, so no kill came in the middle"
