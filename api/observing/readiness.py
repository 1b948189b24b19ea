"""Whether this process is able to work: every check has a second, all at once, and says what to do about its fault."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from obstore.exceptions import BaseError

from api.ground.blobs import Blobs
from api.ground.scanner import Scanner, ScannerFault
from api.models.service import Models
from api.observing.bounded import Bounded
from api.observing.finding import Finding, fail, fine, warn
from api.observing.store import UNKNOWN, Store
from api.services import Services

PATIENCE_S, KEPT_S = 1.0, 1.0
LOW_DISK_GB = 5
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
SILENT = fail(f"no answer within {PATIENCE_S:g} s", "see whether it is overloaded, stopped or cut off")

Check = Callable[[], Mapping[str, Finding]]
"""Gives one or more findings by name."""


@dataclass(frozen=True)
class Verdict:
    """Every finding; not ready where one is ``fail``."""

    findings: dict[str, Finding]

    @property
    def ready(self) -> bool:
        """Whether requests may be sent here."""
        return all(one.state != "fail" for one in self.findings.values())


class Readiness:
    """The checks of one process. Callers that ask at once share one look, so asking often costs little."""

    def __init__(self, services: Services) -> None:
        ground = services.ground
        store = Store(ground.settings.sqlalchemy_url)
        checks: dict[str, Check] = {
            "database": store.look,
            "blobs": lambda: {"blobs": blobs(ground.blobs)},
            "model": lambda: {"model": model(services.models)},
            "disk": lambda: {"disk": disk(ground.settings.workspace)},
        }
        if ground.scanner is not None:
            checks["scanner"] = partial(_scanner, ground.scanner)
        self._checks = {name: Bounded(f"check {name}", _timed(check), KEPT_S) for name, check in checks.items()}

    def look(self) -> Verdict:
        """Every check within a second; one that takes longer has failed."""
        until = time.monotonic() + PATIENCE_S
        for check in self._checks.values():
            check.begin()
        findings: dict[str, Finding] = {}
        for name, check in self._checks.items():
            try:
                findings |= check.within(max(0.0, until - time.monotonic()))
            except TimeoutError:
                findings[name] = replace(SILENT, milliseconds=PATIENCE_S * 1000)
            except Exception as error:  # noqa: BLE001 - a check that breaks is a fault to be told, not a 500
                findings[name] = fail(f"the check itself failed: {type(error).__name__}", "see the log")
        return Verdict({"database": SILENT, "workers": UNKNOWN, "clock": UNKNOWN, **findings})


def blobs(store: Blobs) -> Finding:
    """Whether files can be stored. A full disk is no failure: what is stored can still be read."""
    try:
        store.try_it()
    except OSError as error:
        return _disk_fault(error)
    except BaseError as error:
        do = "see that CLINICAL_MM_BLOB_URL names it, and that its credentials hold: `clinical-mm doctor` writes there"
        return fail(f"the object store does not answer: {type(error).__name__}", do)
    return fine("can be written" if store.is_folder else "the object store answers")


def model(models: Models) -> Finding:
    """Whether the serving models are loaded; that none serves yet is no fault."""
    if models.is_warming:
        return fail("the serving model is being loaded", "wait")
    if models.damaged:
        count = len(models.damaged)
        do = "see the log for which, then `clinical-mm models rollback`, or restore its folder from a backup"
        return warn(f"{count} model{'s' * (count > 1)} cannot be loaded", do)
    if not models.loaded:
        return fine("none is loaded: none serves yet, or none was asked")
    return fine(f"{models.loaded} loaded")


def disk(workspace: Path) -> Finding:
    """Whether there is room for what comes."""
    free_gb = shutil.disk_usage(workspace).free / 1e9
    if free_gb < LOW_DISK_GB:
        do = f"make room where the workspace lies: a training wants {LOW_DISK_GB} GB"
        return warn(f"{free_gb:.1f} GB free", do)
    return fine(f"{free_gb:.0f} GB free")


def scanner(one: Scanner, seconds: float = PATIENCE_S) -> Finding:
    """Whether files can be scanned. Without it none comes in, but all that is stored can still be read."""
    try:
        one.version(seconds)
    except (OSError, ScannerFault) as error:
        do = "see that clamd runs and that CLINICAL_MM_CLAMD names it; until then files are refused with 503"
        return warn(f"the virus scanner does not answer: {type(error).__name__}", do)
    return fine("the virus scanner answers")


def _scanner(one: Scanner) -> dict[str, Finding]:
    return {"scanner": scanner(one, PATIENCE_S * 0.8)}


def _disk_fault(error: OSError) -> Finding:
    told = os.strerror(error.errno) if error.errno else type(error).__name__
    if error.errno in FULL:
        return warn(f"cannot be written: {told}", "make room; until then new cases are refused with 507")
    return fail(f"cannot be written: {told}", "let the user that serves write to `blobs` in the workspace")


def _timed(check: Check) -> Callable[[], dict[str, Finding]]:
    def timed() -> dict[str, Finding]:
        begun = time.perf_counter()
        found = check()
        took = round((time.perf_counter() - begun) * 1000, 1)
        return {name: replace(one, milliseconds=took) for name, one in found.items()}

    return timed
