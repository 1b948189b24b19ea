"""The comparison in a process of its own, so that neither worker nor server loads two models more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from api.settings import Settings


def compared(settings: Settings, champion: Path, challenger: Path, cases: Path) -> dict[str, Any]:
    """What the policy says of two bundles on a plain folder of cases; one that fails is held for a person."""
    out = cases / "decision.json"
    command = [sys.executable, "-m", "clinical_mm.promotion", "--with-parent", str(os.getpid())]
    command += ["--champion", str(champion)]
    command += ["--challenger", str(challenger), "--cases", str(cases), "--out", str(out), "--device", settings.device]
    for option, path in (("--catalogue", settings.catalogue), ("--policy", settings.promotion_policy)):
        if path is not None:
            command += [option, str(path.resolve())]
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)  # noqa: S603 - our own module
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"]
        return {"outcome": "hold", "reasons": [f"the models could not be compared: {said[-1][:500]}"]}
    decision: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return decision
