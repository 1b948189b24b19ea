"""Schemathesis with all of its checks against /openapi.json (target R4), on both databases."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from api.services import Services
from api.training.watching import POLL_S
from torture.house import furnish, house
from torture.outcome import Outcome
from torture.postgresql import postgresql

TITLE = "Whatever a schema allows or forbids: Schemathesis, all checks (R4)"
CONFIG = Path(__file__).with_name("schemathesis.toml")
HOOKS = Path(__file__).with_name("schemathesis_hooks.py")
ALL, QUICK = "examples,coverage,fuzzing,stateful", "examples,fuzzing,stateful"
LONGEST_S = 3600


def run(short: bool) -> Outcome:
    examples = 3 if short else 100
    told, faults = [], []
    with postgresql() as server:
        for name, where, phases in (("SQLite", "", ALL), ("PostgreSQL", server.url, QUICK if short else ALL)):
            with house(where, max_upload_mb=8) as served:
                furnish(served.services)
                said = check(served.address, served.key, phases, examples)
                end_trainings(served.services)
            sent = re.search(r"(\d+) generated", said.stdout)
            operations = re.search(r"(\d+) selected / \d+ total", said.stdout)
            failed = len(re.findall(r"^- ST\d+", said.stdout, re.MULTILINE))
            told.append(
                f"| {name} | {operations[1] if operations else '?'} | {phases.replace(',', ', ')} "
                f"| {sent[1] if sent else '?'} | {failed} | 0 |"
            )
            if said.returncode:
                faults.append(f"{name}:\n\n{said.stdout[said.stdout.find('= ') :]}{said.stderr}")
    head = "| database | operations | phases | requests | failures | target |\n|---|---|---|---|---|---|"
    return Outcome("\n".join([head, *told]), faults)


def end_trainings(services: Services) -> None:
    """No worker takes them; streams of their events, which nobody reads any more, would go on after the service."""
    admin = services.access.operator("default")
    while going_on := [run for run in services.training.list(admin) if run.state == "queued"]:
        for run in going_on:
            services.training.cancel(admin, run.id)
    time.sleep(2 * POLL_S)


def check(address: str, key: str, phases: str, examples: int) -> subprocess.CompletedProcess[str]:
    """The same requests each time: as many random ones an operation and phase as ``examples``."""
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(CONFIG)]
    command += ["run", f"{address}/openapi.json", "--header", f"Authorization: Bearer {key}"]
    command += ["--checks", "all", "--phases", phases, "--max-examples", str(examples)]
    command += ["--generation-deterministic", "--continue-on-failure", "--no-color"]
    with tempfile.TemporaryDirectory() as folder:  # where it would leave its reports
        environment = {**os.environ, "SCHEMATHESIS_HOOKS": str(HOOKS), "XDG_RUNTIME_DIR": folder}
        return subprocess.run(
            command, env=environment, cwd=folder, capture_output=True, text=True, check=False, timeout=LONGEST_S
        )
