"""What the last verification found, kept outside the database, so that a page can tell it."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ValidationError

from api.audit.verify import Verdict
from api.ground.clock import now


class Verified(BaseModel):
    """When the trail was last walked, how far, and how many faults were found."""

    at: datetime
    last: int
    faults: int


def write_verified(folder: Path, verdict: Verdict) -> None:
    """Keep what was found."""
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f"verified.json.{os.getpid()}"
    told = Verified(at=now(), last=verdict.last, faults=verdict.fault_count)
    fresh.write_text(told.model_dump_json(), encoding="utf-8")
    fresh.replace(folder / "verified.json")


def read_verified(folder: Path) -> Verified | None:
    """What was found; None where nobody has looked yet."""
    try:
        return Verified.model_validate_json((folder / "verified.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValidationError):
        return None
