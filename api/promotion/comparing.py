"""The comparison in a process of its own, so that neither worker nor server loads two models more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from api.settings import Settings
from clinical_mm.errors import Cancelled

POLL_S = 0.3


def compared(
    settings: Settings, champion: Path, challenger: Path, cases: Path, cancelled: Callable[[], bool] = lambda: False
) -> dict[str, Any]:
    """What the policy says of two bundles on a plain folder of cases; one that fails is held for a person.

    Raises:
        Cancelled: ``cancelled`` said so.
    """
    out = cases / "decision.json"
    command = [sys.executable, "-m", "clinical_mm.promotion", "--with-parent", str(os.getpid())]
    command += ["--champion", str(champion)]
    command += ["--challenger", str(challenger), "--cases", str(cases), "--out", str(out), "--device", settings.device]
    for option, path in (("--catalogue", settings.catalogue), ("--policy", settings.promotion_policy)):
        if path is not None:
            command += [option, str(path.resolve())]
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false"}
    with tempfile.TemporaryFile("w+") as errors:
        status = _ended(subprocess.Popen(command, stderr=errors, env=environment), cancelled)  # noqa: S603 - our own module
        if status:
            errors.seek(0)
            said = errors.read().strip().splitlines() or [f"it ended with status {status}"]
            return {"outcome": "hold", "reasons": [f"the models could not be compared: {said[-1][:500]}"]}
    decision: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return decision


def _ended(child: subprocess.Popen[bytes], cancelled: Callable[[], bool]) -> int:
    """Its status once it has ended by itself; whatever else ends the waiting ends it too."""
    try:
        while child.poll() is None:
            if cancelled():
                raise Cancelled("the comparison was cancelled")
            time.sleep(POLL_S)
    finally:
        child.kill()
    return child.wait()
