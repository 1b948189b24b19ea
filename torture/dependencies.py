"""What the service is built of (target R15): licences, known faults, a bill of materials, and a lock with hashes.

The bill is CycloneDX 1.6 (ECMA-424), written by cyclonedx-bom; it must name what is installed, no more and no less.
pip-audit says "no known vulnerabilities" of packages that it could not ask about: here those count as not asked.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import tempfile
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from torture.outcome import Outcome

TITLE = "Dependencies: licences, advisories, bill of materials, lock (R15)"
ROOT = Path(__file__).parent.parent
LOCK = "requirements.lock"


def run(short: bool = False) -> Outcome:
    """The short form does without an advisory service that cannot be reached, and says so."""
    steps = {
        "licences": _licences(),
        "bill of materials": _bill(),
        "lock": _lock(),
        "advisories": _advisories(required=not short),
    }
    rows = [f"| {name} | {told} |" for name, (told, _) in steps.items()]
    faults = [f"{name}: {fault}" for name, (_, found) in steps.items() for fault in found]
    return Outcome("\n".join(["| what | found |", "|---|---|", *rows]), faults)


def _licences() -> tuple[str, list[str]]:
    done = _tool("pip-licenses", "--format=json")
    if done.returncode != 0:
        return "one that is not on the list of pyproject.toml", [done.stderr.strip().splitlines()[-1]]
    return f"{len(json.loads(done.stdout))} packages, each under a licence of the list in pyproject.toml", []


def _bill() -> tuple[str, list[str]]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "sbom.json"
        write_bill(file)
        bill = json.loads(file.read_text(encoding="utf-8"))
    named = {canonicalize_name(part["name"]) for part in bill["components"]}
    installed = {canonicalize_name(one.metadata["Name"]) for one in distributions(path=[sysconfig.get_path("purelib")])}
    installed -= {"clinical-mm"}  # what the bill is of, not a part of it
    faults = [f"installed but not in the bill: {name}" for name in sorted(installed - named)]
    faults += [f"in the bill but not installed: {name}" for name in sorted(named - installed)]
    return f"CycloneDX {bill['specVersion']}, {len(named)} components for {len(installed)} installed packages", faults


def write_bill(file: Path) -> None:
    """Write the bill of materials of this environment."""
    done = _tool(
        "cyclonedx-py", "environment", sys.executable, "--pyproject", str(ROOT / "pyproject.toml"), "-o", str(file)
    )
    done.check_returncode()


def _lock() -> tuple[str, list[str]]:
    pinned = {canonicalize_name(one.name): one.specifier for one in map(Requirement, _lines("constraints.txt"))}
    faults, lines = [], _lines(LOCK)
    for line in lines:
        one = Requirement(line.split(" --hash")[0].strip())
        if "--hash=sha256:" not in line:
            faults.append(f"{one.name} has no hash")
        if pinned.get(canonicalize_name(one.name)) != one.specifier:
            faults.append(f"{one}, but constraints.txt says {pinned.get(canonicalize_name(one.name))}")
    return f"{len(lines)} packages with hashes in {LOCK}, at the versions of constraints.txt", faults


def _lines(file: str) -> list[str]:
    text = (ROOT / file).read_text(encoding="utf-8").replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]


def _advisories(*, required: bool) -> tuple[str, list[str]]:
    done = _tool("pip-audit", "-r", str(ROOT / "constraints.txt"), "--no-deps", "--disable-pip", "-f", "json")
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        packages = []
    asked = [one for one in packages if "skip_reason" not in one]
    faults = [f"{one['name']} {one['version']}: {fault['id']}" for one in asked for fault in one["vulns"]]
    told = f"{len(asked)} of {len(packages)} packages asked about, {len(faults)} known faults"
    if not asked:
        told = "no advisory service answered from here: not asked"
    if required and (not asked or len(asked) < len(packages)):
        faults.append(told)
    return told, faults


def _tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / name), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
