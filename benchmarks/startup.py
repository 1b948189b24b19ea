"""Start-up (target S8): the command line and the library beside the interpreter and torch alone."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

TITLE = "Start-up (S8)"
RUNS = 5


def run() -> str:
    command = str(Path(sys.executable).parent / "clinical-mm")
    sides = {
        "`clinical-mm --help`": [command, "--help"],
        '`python -c "pass"`': [sys.executable, "-c", "pass"],
        "`import clinical_mm`": [sys.executable, "-c", "import clinical_mm"],
        "`import torch`": [sys.executable, "-c", "import torch"],
        "`import api.app` (web process)": [sys.executable, "-c", "import api.app"],
    }
    seconds = {name: median_seconds(argv) for name, argv in sides.items()}
    help_, pass_, core, torch, web = seconds.values()
    rows = [f"| {name} | {s * 1000:.0f} |" for name, s in seconds.items()]
    ratios = [
        f"| `--help` / `pass` | {help_ / pass_:.1f} | <= 8 |",
        f"| `import clinical_mm` / `import torch` | {core / torch:.2f} | <= 0.25 |",
        f"| `import api.app` / `import torch` | {web / torch:.2f} | (told) |",
    ]
    lines = [f"Medians of {RUNS} runs, alternating.", "", "| command | ms |", "|---|---|", *rows, ""]
    return "\n".join([*lines, "| ratio | here | target |", "|---|---|---|", *ratios])


def median_seconds(argv: list[str]) -> float:
    def once() -> float:
        started = time.perf_counter()
        subprocess.run(argv, check=True, capture_output=True)
        return time.perf_counter() - started

    once()
    return statistics.median(once() for _ in range(RUNS))


if __name__ == "__main__":
    print(run())
