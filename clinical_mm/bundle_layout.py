"""Where the parts of a bundle lie, and what may not lie there; apart from ``bundle.py`` so that it needs no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from clinical_mm.digests import file_hash
from clinical_mm.errors import InvalidBundle

WEIGHTS = Path("models/model.safetensors")
MODEL = Path("configs/model.json")
SPLIT = Path("docs/split.json")
MANIFEST = Path("docs/manifest.parquet")
PLACES = Path("docs/places.safetensors")
CAUTIONS = Path("models/cautions.safetensors")
CARD = Path("docs/card.json")
REPORT, REPORT_PAGE = Path("docs/report.json"), Path("docs/report.html")
UNSAFE = {".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt", ".joblib"}


def refuse_pickles(folder: Path) -> None:
    """Raise InvalidBundle where a file may hold a pickle: loading one runs whatever code its author put in."""
    if not folder.is_dir():
        raise InvalidBundle(f"{folder}: no such folder")
    unsafe = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.suffix.lower() in UNSAFE)
    if unsafe:
        raise InvalidBundle(
            f"{folder}: {', '.join(unsafe)} may hold a pickle, which can run code; only safetensors load"
        )


def weights_sha256(folder: Path) -> str:
    """SHA-256 of a bundle's weights file."""
    with (folder / WEIGHTS).open("rb") as file:
        return file_hash(file)


def read_json(path: Path) -> dict[str, Any]:
    """One of a bundle's JSON files.

    Raises:
        InvalidBundle: it is not there, or no JSON.
    """
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidBundle(f"{path}: not readable: {error}") from error
    return value
