"""Explanations over HTTP of 200 stored synthetic cases: how many of them add up to within 1 %, and what they take."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
from tqdm import tqdm

from benchmarks.workspace import prepare, served

TITLE = "Explanations over HTTP"
CASES, ALLOWED = 200, 0.01


def run() -> str:
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder) / "workspace"
        key = prepare(workspace, CASES)
        with served(workspace, 4) as address:
            errors, seconds = explained(address, key)
    within = sum(error <= ALLOWED for error in errors)
    return "\n".join(
        [
            "The demo's model on stored synthetic cases, each predicted and then explained by the default method.",
            "",
            "| what | figure |",
            "|---|---|",
            f"| explanations with a completeness error <= 1 % | {within} of {len(errors)} |",
            f"| completeness error, median / worst | {np.median(errors):.2%} / {max(errors):.2%} |",
            f"| an explanation over HTTP, p50 / p95, ms | {_ms(seconds, 50)} / {_ms(seconds, 95)} |",
        ]
    )


def explained(address: str, key: str) -> tuple[list[float], list[float]]:
    """Completeness error and seconds of each stored case's explanation."""
    errors, seconds = [], []
    with httpx.Client(base_url=f"{address}/v1", headers={"Authorization": f"Bearer {key}"}, timeout=120) as client:
        for case_id in tqdm(case_ids(client), "explaining", leave=False):
            prediction = client.post(f"/cases/{case_id}/predictions").raise_for_status().json()
            started = time.perf_counter()
            answer = client.post(f"/predictions/{prediction['id']}/explanations", json={}).raise_for_status().json()
            seconds.append(time.perf_counter() - started)
            errors.append(float(answer["completeness_error"]))
    return errors, seconds


def case_ids(client: httpx.Client) -> list[str]:
    """Of every stored case."""
    found: list[str] = []
    asked: dict[str, str | int] = {"limit": 100}
    while True:
        page = client.get("/cases", params=asked).raise_for_status().json()
        found += [case["id"] for case in page["items"]]
        if not page.get("next_cursor"):
            return found
        asked["cursor"] = page["next_cursor"]


def _ms(seconds: list[float], percentile: int) -> str:
    return f"{1000 * np.percentile(seconds, percentile):.0f}"


if __name__ == "__main__":
    print(run())
