"""What a training was asked for, and whether what lies in its folder comes from the same asking."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinical_mm.bundle import Bundle
from clinical_mm.catalogue import Catalogue
from clinical_mm.config import ModelConfig
from clinical_mm.digests import content_hash
from clinical_mm.features import FeatureCache
from clinical_mm.training.trackers.base import NOBODY, Tracker
from clinical_mm.training.trackers.lines import METRICS
from clinical_mm.training.trackers.mlflow import RUN
from clinical_mm.training.trials import Storage

INPUTS, ALIGNMENT, CHECKPOINT, LOGS = "inputs.json", "alignment", "checkpoint", "tensorboard"


@dataclass(frozen=True)
class Request:
    """The arguments of ``train``."""

    config: ModelConfig
    snapshot: Path
    out: Path
    catalogue: Catalogue
    device: str
    start: Bundle | None
    parts: Mapping[str, Sequence[str]]
    trials: Storage
    features: FeatureCache | None = None
    tracker: Tracker = NOBODY


def forget_another(request: Request, snapshot_sha256: str) -> None:
    """Checkpoints of another configuration, start or of other cases are no place to go on from: they are removed."""
    out = request.out
    told, wanted = out / INPUTS, json.dumps(_inputs(request, snapshot_sha256), indent=1)
    out.mkdir(parents=True, exist_ok=True)
    if told.exists() and told.read_text(encoding="utf-8") != wanted:
        for name in (CHECKPOINT, f"{CHECKPOINT}.old", ALIGNMENT, f"{ALIGNMENT}.old", LOGS):
            shutil.rmtree(out / name, ignore_errors=True)
        for name in (METRICS, RUN):
            (out / name).unlink(missing_ok=True)
    told.write_text(wanted, encoding="utf-8")


def search_sha256(request: Request, snapshot_sha256: str) -> str:
    """The same for searches whose trials count for each other: how many there are to be does not matter."""
    inputs = _inputs(request, snapshot_sha256)
    inputs["config"]["search"].pop("trials")
    return content_hash(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _inputs(request: Request, snapshot_sha256: str) -> dict[str, Any]:
    """All that decides what comes out."""
    return {
        "config": request.config.model_dump(mode="json"),
        "catalogue": request.catalogue.model_dump(mode="json"),
        "snapshot_sha256": snapshot_sha256,
        "start_sha256": None if request.start is None else request.start.sha256,
        "parts": dict(request.parts),
    }
