"""Memory of the serving process over many predictions (target S10)."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import httpx
import psutil

from api.ground.heap import EVERY_S
from benchmarks.workspace import prepare, served

TITLE = "Memory over many predictions (S10)"
FIRST, LAST, CLIENTS = 100, 10_000, 8
MARKS = (FIRST, 1_000, 2_000, 5_000, LAST)


def run() -> str:
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder) / "workspace"
        key = prepare(workspace)
        with served(workspace, CLIENTS) as address:
            resident = dict(measured(address, key))
    rows = [f"| {count:,} | {size / 2**20:.0f} |" for count, size in resident.items()]
    return "\n".join(
        [
            f"The demo's small model, {CLIENTS} clients, stored cases in turn; resident memory of the web process.",
            "",
            "| after predictions | MiB |",
            "|---|---|",
            *rows,
            "",
            "| ratio | here | target |",
            "|---|---|---|",
            f"| S10 after {LAST:,} / after {FIRST} | {resident[LAST] / resident[FIRST]:.3f} | <= 1.03 |",
        ]
    )


def measured(address: str, key: str) -> Iterator[tuple[int, float]]:
    """Predictions so far, and resident bytes then."""
    with httpx.Client(base_url=f"{address}/v1", headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
        ids = [case["id"] for case in client.get("/cases", params={"limit": 200}).json()["items"]]
        done = 0
        with ThreadPoolExecutor(CLIENTS) as pool:
            for mark in MARKS:
                asked = islice(_cycled(ids), mark - done)
                for answer in pool.map(lambda case: client.post(f"/cases/{case}/predictions"), asked):
                    answer.raise_for_status()
                done = mark
                yield mark, settled(serving_process(int(address.rsplit(":", 1)[1])))


def serving_process(port: int) -> psutil.Process:
    """The web process that listens there: the youngest of those that do, since its master listens too."""
    mine = psutil.Process().children(recursive=True)
    listening = [p for p in mine if any(c.laddr.port == port for c in p.net_connections("tcp") if c.status == "LISTEN")]
    return max(listening, key=lambda process: process.create_time())


def settled(process: psutil.Process) -> float:
    """Resident bytes once what is free has been given back, the median of a second at rest."""
    time.sleep(EVERY_S + 1)
    sizes = []
    for _ in range(10):
        time.sleep(0.1)
        sizes.append(process.memory_info().rss)
    return statistics.median(sizes)


def _cycled(ids: list[str]) -> Iterator[str]:
    while True:
        yield from ids


if __name__ == "__main__":
    print(run())
