"""Put the service through its ordeals and write what came of it into docs/torture.md.

``python -m torture [NAME ...] [--short]``. An ordeal is a module of this folder with ``TITLE`` and
``run(short: bool) -> Outcome``; its section in the document is replaced, the others stay as they are. The short form is
what ``make test`` runs, and is not written down.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from pathlib import Path

from api.ground.scope import whole_process
from benchmarks.document import write_section

DOCUMENT = Path(__file__).parent.parent / "docs" / "torture.md"
ORDEALS: tuple[str, ...] = (
    "audit_calls",
    "audit_tampering",
    "bombs",
    "canaries",
    "disk_full",
    "killed_uploads",
    "mutated",
    "outages",
    "payloads",
    "poisoned_labels",
    "restored",
    "roles",
    "same_study",
    "schemathesis_checks",
    "dependencies",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*ORDEALS, []], help="which ones; none = all")
    parser.add_argument("--short", action="store_true", help="the form that the tests run; writes nothing")
    asked = parser.parse_args()
    whole_process("an ordeal puts into every project what it needs")
    failed = []
    for name in asked.names or ORDEALS:
        ordeal = importlib.import_module(f"torture.{name}")
        print(f"== {name}: {ordeal.TITLE}", flush=True)
        started = time.perf_counter()
        outcome = ordeal.run(asked.short)
        told = "\n".join([outcome.table.strip(), *(f"- **fault**: {fault}" for fault in outcome.faults)])
        print(told, flush=True)
        if outcome.faults:
            failed.append(name)
        if not asked.short:
            write_section(DOCUMENT, name, ordeal.TITLE, told, time.perf_counter() - started)
    print(f"failed: {', '.join(failed)}" if failed else "all survived", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
