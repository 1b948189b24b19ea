"""Run the benchmarks and write what they print into docs/benchmarks.md: ``python -m benchmarks [NAME ...]``.

A benchmark is a module of this folder with ``TITLE`` and ``run() -> str`` (markdown). Its section in the document is
replaced; the others stay as they are.
"""

from __future__ import annotations

import argparse
import importlib
import platform
import re
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

DOCUMENT = Path(__file__).parent.parent / "docs" / "benchmarks.md"
BENCHMARKS = (
    "startup",
    "decoding",
    "real_dicoms",
    "training_epoch",
    "retraining",
    "killed_runs",
    "serving",
    "explaining",
    "explaining_served",
    "cxr_cases",
    "covid_blues",
    "gpu_training",
    "fusions",
    "label_efficiency",
    "active_review",
    "cautions",
    "pages",
    "negation",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], help="which ones; none = all")
    names = parser.parse_args().names or BENCHMARKS
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
        write_section(name, module.TITLE, result, time.perf_counter() - started)
    return 1 if failed else 0


def write_section(name: str, title: str, body: str, seconds: float) -> None:
    versions = ", ".join(f"{p} {version(p)}" for p in ("torch", "monai", "transformers", "captum", "flask"))
    here = f"{machine()}, Python {platform.python_version()}, {versions}"
    stamp = f"{datetime.now(UTC):%Y-%m-%d}, {here}; took {seconds:.0f} s"
    section = f"<!-- {name} -->\n## {title}\n\n{body.strip()}\n\n*{stamp}*\n<!-- /{name} -->\n"
    text = DOCUMENT.read_text(encoding="utf-8")
    pattern = re.compile(rf"<!-- {name} -->.*?<!-- /{name} -->\n", re.DOTALL)
    text = pattern.sub(lambda _: section, text) if pattern.search(text) else f"{text.rstrip()}\n\n{section}"
    DOCUMENT.write_text(text, encoding="utf-8")


def machine() -> str:
    import os

    import torch

    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ", no GPU"
    return f"{os.cpu_count()} cores {platform.machine()}{gpu}"


if __name__ == "__main__":
    sys.exit(main())
