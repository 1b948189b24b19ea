"""A workspace with synthetic cases and a small trained model, and a server over it, for benchmarks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CASES = 80


def run_command(workspace: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "api.cli", *arguments]
    answer = subprocess.run(command, env=environment(workspace), check=True, capture_output=True, text=True)
    return answer.stdout


def prepare(workspace: Path, cases: int = CASES) -> str:
    """Draw, store and train; gives a trainer's key."""
    run_command(workspace, "demo", "--cases", str(cases), "--no-serve")
    return run_command(workspace, "keys", "create", "--role", "trainer").splitlines()[-1]


@contextmanager
def served(workspace: Path, threads: int) -> Iterator[str]:
    """The address of a running server."""
    command = [sys.executable, "-m", "api.cli", "serve", "--port", "0", "--threads", str(threads)]
    process = subprocess.Popen(command, env=environment(workspace), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = next(found.group() for line in process.stdout if (found := re.search(r"http://\S+", line)))
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)


def environment(workspace: Path) -> dict[str, str]:
    return {**os.environ, "CLINICAL_MM_WORKSPACE": str(workspace), "CLINICAL_MM_EMBEDDED_WORKER": "false"}
