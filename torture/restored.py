"""A backup of many cases, restored into empty places on both databases, and verified (target R14)."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from api.ground.migrate import upgrade
from api.services import Services, build
from api.settings import Settings
from clinical_mm.case import ImageFile, Patient
from clinical_mm.phantom import draw
from torture.outcome import Outcome
from torture.postgresql import postgresql

TITLE = "A backup restored and verified (R14)"
CASES, SHORT_CASES, MOST_S = 10_000, 50, 15 * 60
DRAWN = 40
"""Synthetic films that are told apart by their last pixels."""


@dataclass(frozen=True)
class Timing:
    """One restore."""

    into: str
    seconds: float
    missing: int


def run(short: bool) -> Outcome:
    count = SHORT_CASES if short else CASES
    with tempfile.TemporaryDirectory(prefix="cmm-back-") as name, postgresql() as server:
        folder = Path(name)
        source = _settings(folder / "source", "")
        with _opened(source) as services:
            sent = _fill(services, count)
        backup = folder / "backup.tar"
        making = _command(source, "backup", str(backup))
        verifying = _command(source, "backup", "verify", str(backup))
        timings = [
            _restored(_settings(folder / kind, url), kind, backup, sent)
            for kind, url in (("SQLite", ""), ("PostgreSQL", server.url))
        ]
        size = backup.stat().st_size
    rows = [f"| restored into {t.into}, verified, s | {t.seconds:.0f} | {MOST_S} |" for t in timings]
    rows += [f"| cases missing or changed in {t.into} | {t.missing} | 0 |" for t in timings]
    table = [
        f"{count} cases with a film, a note and vitals each, stored on SQLite; a backup of {size / 2**20:.0f} MiB.",
        "",
        "| what | here | target |",
        "|---|---|---|",
        f"| backup made, s | {making:.0f} | |",
        f"| backup verified, s | {verifying:.0f} | |",
        *rows,
    ]
    return Outcome("\n".join(table), list(_faults(timings)))


def _fill(services: Services, count: int) -> dict[str, str]:
    """Store cases; gives the SHA-256 of each one's film by its external id."""
    operator, sent = services.access.operator(), dict[str, str]()
    drawn = [d.case for d in draw(2 * DRAWN, 0) if d.case.images][:DRAWN]
    films = [case.images[0].read() for case in drawn]
    for n in range(count):
        name = f"case-{n}"
        film = films[n % len(films)][:-16] + hashlib.sha256(name.encode()).digest()[:16]
        images = (ImageFile("film.dcm", film),)
        case = replace(drawn[n % len(drawn)], external_id=name, patient=Patient(name), images=images)
        services.cases.submit_case(operator, case, synthetic=True)
        sent[name] = case.images[0].sha256
    return sent


def _restored(settings: Settings, kind: str, backup: Path, sent: Mapping[str, str]) -> Timing:
    seconds = _command(settings, "restore", str(backup))
    with _opened(settings) as services:
        found = {
            str(case.external_id): hashlib.sha256(case.images[0].read()).hexdigest()
            for case in services.cases.select(services.access.operator().project_id, {})
        }
    missing = sum(found.get(name) != digest for name, digest in sent.items()) + len(found.keys() - sent.keys())
    return Timing(kind, seconds, missing)


def _settings(workspace: Path, url: str) -> Settings:
    return Settings(workspace=workspace, database_url=url, _env_file=None)  # type: ignore[call-arg]


def _command(settings: Settings, *arguments: str) -> float:
    """Run the command line as an operator does; gives the seconds."""
    environment = {
        **os.environ,
        "CLINICAL_MM_WORKSPACE": str(settings.workspace),
        "CLINICAL_MM_DATABASE_URL": settings.database_url,
    }
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "api.cli", *arguments], env=environment, check=True, stdout=subprocess.DEVNULL
    )
    return time.monotonic() - began


@contextmanager
def _opened(settings: Settings) -> Iterator[Services]:
    upgrade(settings)
    services = build(settings)
    try:
        yield services
    finally:
        services.close()


def _faults(timings: list[Timing]) -> Iterator[str]:
    for timing in timings:
        if timing.missing:
            yield f"{timing.into}: {timing.missing} cases are missing, changed or too many"
        if timing.seconds > MOST_S:
            yield f"{timing.into}: {timing.seconds:.0f} s"
