"""Serving (targets S1, S2, S4): predictions over HTTP beside the bare forward pass and a plain one-at-a-time view."""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import torch

from benchmarks.workspace import prepare, served
from clinical_mm.case import Case
from clinical_mm.phantom import draw
from clinical_mm.predictor import Predictor, load_model

TITLE = "Serving (S1, S2, S4)"
CLIENTS, SECONDS, BATCH = 16, 12, 32


def run() -> str:
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder) / "workspace"
        key = prepare(workspace)
        (bundle,) = (workspace / "models").iterdir()
        predictor = load_model(bundle, "cpu")
        cases = [d.case for d in draw(BATCH, seed=0)]
        forward = forwards_a_second(predictor, cases)
        one_s = statistics.median(timed(lambda: predictor.predict(cases[:1])) for _ in range(30))
        plain = plain_view(predictor, cases)
        with served(workspace, CLIENTS) as address:
            ours, _ = load(address, key, CLIENTS, SECONDS)
            _, alone = load(address, key, 1, SECONDS)
    alone.sort()
    p50, p99 = alone[len(alone) // 2], alone[int(len(alone) * 0.99)]
    rows = [
        f"| served predictions a second, {CLIENTS} clients | {ours:.1f} |",
        f"| bare forward, batch {BATCH}, cases a second | {forward:.1f} |",
        f"| plain Flask view, one eager prediction at a time, {CLIENTS} clients | {plain:.1f} |",
        f"| one prediction in process (decode + forward), ms | {one_s * 1000:.1f} |",
        f"| one client over HTTP, p50 / p99, ms | {p50 * 1000:.1f} / {p99 * 1000:.1f} |",
    ]
    ratios = [
        f"| S1 served / bare batched forward | {ours / forward:.2f} | >= 0.85 |",
        f"| S2 served / plain view | {ours / plain:.2f} | >= 4 |",
        f"| S4 p50 of one client / one prediction in process | {p50 / one_s:.2f} | <= 1.3 |",
        f"| S4 p99 of one client / one prediction in process | {p99 / one_s:.2f} | <= 3 |",
    ]
    head = "The demo's small model on stored synthetic cases; each served prediction decodes, is stored and audited."
    table = ["| what | figure |", "|---|---|", *rows, "", "| ratio | here | target |", "|---|---|---|", *ratios]
    return "\n".join([head, "", *table])


def forwards_a_second(predictor: Predictor, cases: list[Case]) -> float:
    batches, present_BM = predictor.batch([predictor.read(case) for case in cases])
    with torch.inference_mode():
        seconds = statistics.median(timed(lambda: predictor.network(batches, present_BM)) for _ in range(10))
    return len(cases) / seconds


def plain_view(predictor: Predictor, cases: list[Case]) -> float:
    """Predictions a second of a Flask view that runs the model for each request by itself."""
    from flask import Flask, jsonify
    from werkzeug.serving import make_server

    app, lock = Flask(__name__), threading.Lock()

    @app.post("/<int:number>")
    def predict(number: int) -> object:
        with lock:
            return jsonify(predictor.predict([cases[number % len(cases)]])[0].to_json())

    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        count, _ = hammer(
            lambda i: httpx.post(f"http://127.0.0.1:{server.server_port}/{i}", timeout=60), CLIENTS, SECONDS
        )
    finally:
        server.shutdown()
    return count / SECONDS


def load(address: str, key: str, clients: int, seconds: float) -> tuple[float, list[float]]:
    """Predictions a second and each one's time."""
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=f"{address}/v1", headers=headers, timeout=60) as client:
        ids = [case["id"] for case in client.get("/cases", params={"limit": 200}).json()["items"]]
        client.post(f"/cases/{ids[0]}/predictions").raise_for_status()
        count, times = hammer(
            lambda i: client.post(f"/cases/{ids[i % len(ids)]}/predictions").raise_for_status(), clients, seconds
        )
    return count / seconds, times


def hammer(call: Callable[[int], object], clients: int, seconds: float) -> tuple[int, list[float]]:
    """Closed loop: each client sends its next call when its last is answered."""
    until = time.perf_counter() + seconds

    def loop(client: int) -> list[float]:
        times, number = [], client
        while time.perf_counter() < until:
            times.append(timed(lambda number=number: call(number)))
            number += clients
        return times

    with ThreadPoolExecutor(clients) as pool:
        times = [t for found in pool.map(loop, range(clients)) for t in found]
    return len(times), times


def timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


if __name__ == "__main__":
    print(run())
