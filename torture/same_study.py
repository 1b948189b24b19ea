"""Fifty clients submit the same study at the same moment (target R11): one case is made."""

from __future__ import annotations

import io
import json
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from api.cases.sweep import sweep_orphans
from clinical_mm.phantom import draw
from torture.house import House, house
from torture.outcome import Outcome
from torture.postgresql import postgresql

TITLE = "Fifty clients submit the same study at once (R11)"
CLIENTS = 50
Send = Callable[[int], dict[str, Any]]
"""Number of the client -> its headers, and the changes to the case it sends."""
WAYS: dict[str, tuple[Send, set[int]]] = {
    "the same external_id": (lambda _: {}, {201, 409}),
    "the same Idempotency-Key": (lambda _: {"key": "one-study", "external_id": None}, {201}),
    "both": (lambda _: {"key": "one-study"}, {201}),
    "the same external_id, each with a key of its own": (lambda n: {"key": f"client-{n}"}, {201, 409}),
}
"""How they say that it is the same, and what they may be answered."""


def run(short: bool) -> Outcome:
    turns = 1 if short else 20
    lines, faults = [], []
    with postgresql() as server:
        for name, where in (("SQLite", ""), ("PostgreSQL", server.url)):
            with house(where) as served:
                for way, (send, allowed) in WAYS.items():
                    made, answers = turns_of(served, send, turns)
                    told = ", ".join(f"{count} x {status}" for status, count in sorted(answers.items()))
                    lines.append(f"| {name} | {way} | {turns} | {max(made)} | {told} | 1 |")
                    if set(made) != {1}:
                        faults.append(f"{name}, {way}: {max(made)} cases were made, and {min(made)} at least")
                    if set(answers) - allowed:
                        faults.append(f"{name}, {way}: answers {told}")
                if orphans := blobs_of_nobody(served):
                    faults.append(f"{name}: {orphans} files belong to no case")
    head = f"{CLIENTS} clients, a DICOM image, a note and vitals each; counted in the database, files too.\n\n"
    head += "| database | what is the same | turns | cases made | answers | target |\n|---|---|---|---|---|---|"
    return Outcome("\n".join([head, *lines]), faults)


def turns_of(served: House, send: Send, turns: int) -> tuple[list[int], Counter[int]]:
    """Cases that each turn made, and the answers of all."""
    made, answers = [], Counter[int]()
    study = next(d.case for d in draw(50, 5) if d.case.images and d.case.note and d.case.vitals)
    image = study.images[0].read()
    # Whoever comes first has the key checked, which takes a while on purpose; the others would be asked to come again.
    httpx.get(f"{served.address}/v1/project", headers={"Authorization": f"Bearer {served.key}"}).raise_for_status()
    for turn in range(turns):
        before = stored(served)
        gate = threading.Barrier(CLIENTS)

        def submit(number: int, turn: int = turn, gate: threading.Barrier = gate) -> int:
            asked = send(number)
            headers = {"Authorization": f"Bearer {served.key}"}
            if "key" in asked:
                headers["Idempotency-Key"] = f"{id(send)}-{turn}-{asked['key']}"
            external_id = asked.get("external_id", f"study-{id(send)}-{turn}")
            case = {"external_id": external_id, "patient": {"id": "p-1"}, "note": study.note}
            with httpx.Client(timeout=120, headers=headers) as client:
                parts = [("case", (None, dumped(case), "application/json")), ("files", ("1.dcm", io.BytesIO(image)))]
                gate.wait()
                return client.post(f"{served.address}/v1/cases", files=parts).status_code

        with ThreadPoolExecutor(CLIENTS) as clients:
            answers.update(clients.map(submit, range(CLIENTS)))
        made.append(stored(served) - before)
    return made, answers


def dumped(case: dict[str, Any]) -> str:
    return json.dumps({name: value for name, value in case.items() if value is not None})


def stored(served: House) -> int:
    return len(served.services.cases.ids(served.services.access.operator("default")))


def blobs_of_nobody(served: House) -> int:
    return sweep_orphans(served.services.ground)
