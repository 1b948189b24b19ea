"""R10: a workspace on a file system of 64 MB that fills up, under uploads and reads."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import httpx

from torture.besieged import MB, Besieged
from torture.bombs import film
from torture.outcome import Outcome

TITLE = "The disk full (R10)"
SIZE_MB, FILM_MB, ROUNDS, SHORT_ROUNDS = 64, 3, 5, 1
OTHERS_MB = 4
MOUNTED = 'mount -t tmpfs -o size={size}m tmpfs "$0" && exec "$@"'


def run(short: bool) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        inside = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "sh", "-c"]
        inside += [MOUNTED.format(size=SIZE_MB), folder]
        if shutil.which("unshare") is None or subprocess.run([*inside, "true"], check=False).returncode:
            return Outcome("Not put to the test: nothing can be mounted here, not even in a namespace of its own.")
        with Besieged(Path(folder) / "workspace", inside=inside) as server:
            return fill(server, Path(f"/proc/{server.pid}/root{folder}"), SHORT_ROUNDS if short else ROUNDS)


def fill(server: Besieged, disk: Path, rounds: int) -> Outcome:
    """``disk`` is the small file system as the server sees it."""
    key = made_inside(server)
    uploads: Counter[int] = Counter()
    reads: Counter[int] = Counter()
    faults: list[str] = []
    with server.client(key) as client:
        kept = upload(client)
        original = client.get(f"/cases/{kept.json()['id']}/files/0").content
        for number in range(rounds):
            before = len(client.get("/cases?limit=200").json()["items"])
            ballast(disk, OTHERS_MB)
            answers = until_full(client)
            faults += [] if answers[-1].status_code == 507 else [f"round {number}: the disk never was full"]
            ballast(disk)
            answers += [upload(client, mb) for mb in (0, 1, FILM_MB)]
            answers.append(client.post("/cases", json={"patient": {"id": "p"}, "note": "cough " * 2000}))
            uploads.update(answer.status_code for answer in answers)
            reads.update(read(client, kept.json()["id"], original))
            (disk / "ballast").unlink()
            after = upload(client)
            made = sum(answer.status_code == 201 for answer in [*answers, after])
            faults += (
                [] if after.status_code == 201 else [f"round {number}: {after.status_code} when there is room again"]
            )
            stored = len(client.get("/cases?limit=200").json()["items"]) - before
            faults += [] if stored == made else [f"round {number}: {made} cases acknowledged, {stored} stored"]
            faults += leftovers(client, disk)
            erase_but(client, kept.json()["id"])
    faults += [f"an upload was answered {status}" for status in uploads if status not in {201, 507}]
    faults += [f"a read was answered {status}" for status in reads if status != 200]
    rows = [f"| {what} | {told(answers)} |" for what, answers in (("uploads", uploads), ("reads meanwhile", reads))]
    tail = f"{rounds} times full and free again, without a restart; what was read while it was full was what was sent."
    table = [f"A tmpfs of {SIZE_MB} MB.", "", "| asked | answered |", "|---|---|", *rows, "", tail]
    return Outcome("\n".join(table), faults)


def made_inside(server: Besieged) -> str:
    """A key made where the server's database lies: on a mount that only its own processes see."""
    enter = ["nsenter", "--mount", "--target", str(server.pid)]
    enter += [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
    command = [*enter, sys.executable, "-m", "api.cli", "keys", "create", "--role", "admin"]
    made = subprocess.run(command, env=server.environment, cwd=Path.cwd(), check=True, capture_output=True, text=True)
    return made.stdout.splitlines()[-1]


def upload(client: httpx.Client, mb: float = 0.0) -> httpx.Response:
    parts = [("case", (None, b'{"patient": {"id": "p"}}')), ("files", ("a.dcm", film(int(mb * MB))))]
    return client.post("/cases", files=parts)


def until_full(client: httpx.Client) -> list[httpx.Response]:
    answers = []
    while len(answers) < 2 * SIZE_MB / FILM_MB:
        answers.append(upload(client, FILM_MB))
        if answers[-1].status_code != 201:
            break
    return answers


def ballast(disk: Path, mb: int = SIZE_MB) -> None:
    """What others store on the same disk; without a size, all that is left, down to the last block."""
    with (disk / "ballast").open("ab", buffering=0) as file:
        try:
            for _ in range(mb * MB // 4096):
                file.write(bytes(4096))
        except OSError:
            return


def read(client: httpx.Client, case: str, original: bytes) -> list[int]:
    """Statuses of what a reader does; a file that is not what was sent counts as 500."""
    paths = (
        f"/cases/{case}",
        "/cases",
        f"/cases/{case}/files/0/preview.png",
        f"/cases/{case}/files/0/raw",
        "/catalogue",
    )
    answers = [client.get(path).status_code for path in paths for _ in range(4)]
    file = client.get(f"/cases/{case}/files/0")
    return [*answers, file.status_code if file.content == original else 500]


def leftovers(client: httpx.Client, disk: Path) -> list[str]:
    """Blobs that no case names, and files that were never taken away."""
    named = {f["sha256"] for c in client.get("/cases?limit=200").json()["items"] for f in c["files"]}
    blobs = {p.parent.name + p.name for p in (disk / "workspace" / "blobs").glob("??/*")}
    incoming = [*(disk / "workspace" / "incoming").iterdir(), *(disk / "workspace" / "blobs" / ".incoming").iterdir()]
    return [*(f"a blob without a case: {b}" for b in blobs - named), *(f"left over: {p.name}" for p in incoming)]


def erase_but(client: httpx.Client, kept: str) -> None:
    for case in client.get("/cases?limit=200").json()["items"]:
        if case["id"] != kept:
            client.delete(f"/cases/{case['id']}").raise_for_status()


def told(answers: Counter[int]) -> str:
    return ", ".join(f"{count} x {status}" for status, count in sorted(answers.items()))
