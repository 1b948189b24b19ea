"""Run the benchmarks and write what they print into docs/benchmarks.md: ``python -m benchmarks [NAME ...]``.

A benchmark is a module of this folder with ``TITLE`` and ``run() -> str`` (markdown). Its section in the document is
replaced; the others stay as they are.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from pathlib import Path

from api.ground.scope import whole_process
from benchmarks.document import write_section

DOCUMENT = Path(__file__).parent.parent / "docs" / "benchmarks.md"
BENCHMARKS = (
    "startup",
    "decoding",
    "real_dicoms",
    "training_epoch",
    "retraining",
    "killed_runs",
    "serving",
    "load",
    "explaining",
    "explaining_served",
    "cxr_cases",
    "covid_blues",
    "gpu_training",
    "fusions",
    "label_efficiency",
    "active_review",
    "label_noise",
    "cautions",
    "pages",
    "negation",
    "memory",
    "many_cases",
    "deidentifying",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], help="which ones; none = all")
    names = parser.parse_args().names or BENCHMARKS
    whole_process("a benchmark puts into every project what it needs")
    failed = []
    for name in names:
        module = importlib.import_module(f"benchmarks.{name}")
        print(f"== {name}: {module.TITLE}", flush=True)
        started = time.perf_counter()
        try:
            result = module.run()
        except FileNotFoundError as error:
            print(f"skipped: {error}\n", flush=True)
            failed.append(name)
            continue
        print(result, flush=True)
        write_section(DOCUMENT, name, module.TITLE, result, time.perf_counter() - started)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
