"""Files are shown to the virus scanner before any decoder reads them and before anything is stored."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from api.audit.call import infected
from api.ground.ground import Ground
from api.ground.scanner import ScannerAway
from api.ground.spool import printable
from api.problems import Invalid, PointedError

log = logging.getLogger(__name__)


def refuse_infected(ground: Ground, files: Iterable[tuple[str, Path]]) -> None:
    """Scan files, by their names as sent; without a scanner (CLINICAL_MM_CLAMD) nothing happens.

    Raises:
        Invalid: one bears a signature; the answer names both, log and trail the signature alone.
        ScannerAway: the scanner does not answer.
    """
    if ground.scanner is None:
        return
    for position, (name, path) in enumerate(files):
        try:
            signature = ground.scanner.find(path)
        except ScannerAway:
            ground.meters.scanned.labels("unknown").inc()
            raise
        ground.meters.scanned.labels("clean" if signature is None else "infected").inc()
        if signature is not None:
            log.warning("a file was refused: the virus scanner finds %s", signature)
            infected(signature)
            detail = f"{printable(name) or 'unnamed'}: the virus scanner finds {signature}"
            fault = PointedError(pointer=f"/files/{position}", detail=detail)
            raise Invalid(f"file {position}, {detail}; nothing was stored", errors=[fault])
