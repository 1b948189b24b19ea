"""R3: seeded mutations of real DICOM files and of JSON bodies, sent to a real server by four clients."""

from __future__ import annotations

import json
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import httpx

from api.ground.heap import EVERY_S
from torture.besieged import Besieged, is_problem, real_dicom
from torture.outcome import Outcome

TITLE = "Mutated files and bodies (R3)"
FILES, BODIES, SHORT_FILES, SHORT_BODIES = 10_000, 1_000, 300, 200
CLIENTS, SLOW_S, GROWTH = 4, 2.0, 0.01
PARTS, WARM = 10, 3
"""Memory is looked at after each part; it counts from the fourth on."""
LARGEST = 600_000
BODY = {
    "patient": {"id": "p-1", "sex": "F", "age_years": 64},
    "note": "64-year-old with fever and productive cough.",
    "vitals": {"heart_rate": 112, "spo2": 88, "temperature": {"value": 101.5, "unit": "[degF]"}},
    "diagnoses": ["pneumonia"],
    "acquired_at": "2026-03-01T10:00:00Z",
}
ODD: list[Any] = [
    *(
        None,
        True,
        -1,
        0,
        1e308,
        -1e-320,
        10**40,
        "",
        "x" * 5000,
        "\u202e",
        "'; DROP TABLE cases; --",
        "é" * 100,
        [],
        {},
    ),
    *([[[[]]]], {"": ""}, {"$ref": "#"}, "2026-13-45", "NaN", "\ufeff", "\u0001", "👩‍⚕️"),
]


@dataclass
class Seen:
    """What came back."""

    statuses: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slow: list[int] = field(default_factory=list)
    slowest_s: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, number: int, answer: httpx.Response | None, seconds: float) -> None:
        """One answer, or none."""
        with self.lock:
            self.statuses[answer.status_code if answer is not None else 0] += 1
            self.slowest_s = max(self.slowest_s, seconds)
            if seconds > SLOW_S:
                self.slow.append(number)
            if answer is None or not (answer.is_success or is_problem(answer)):
                told = "no answer" if answer is None else f"{answer.status_code}: {answer.text[:200]}"
                self.faults.append(f"seed {number}: {told}")


def run(short: bool) -> Outcome:
    files, bodies = (SHORT_FILES, SHORT_BODIES) if short else (FILES, BODIES)
    originals = [data for data in real_dicom() if len(data) <= LARGEST]
    with tempfile.TemporaryDirectory() as folder, Besieged(Path(folder) / "workspace") as server:
        client = server.client(server.key("admin"))
        of_files = Sender(client, lambda seed: ("file", mutated_file(originals, random.Random(seed))))
        of_bodies = Sender(client, lambda seed: ("body", mutated_body(random.Random(seed))))
        sizes = []
        for part in range(PARTS):
            of_files.send(range(files * part // PARTS, files * (part + 1) // PARTS))
            sizes.append(resident_mb(server, settled=not short))
        of_bodies.send(range(bodies))
        sizes.append(resident_mb(server, settled=not short))
        complaints = server.complaints()
        slow = of_files.slow_again() + of_bodies.slow_again()
    before, after = fmean(sizes[WARM : WARM + 3]), fmean(sizes[-3:])
    growth = after / before - 1
    faults = (
        of_files.seen.faults
        + of_bodies.seen.faults
        + complaints
        + [f"slower than {SLOW_S} s, twice: {s}" for s in slow]
    )
    if growth >= GROWTH and not short:
        faults.append(f"memory grew by {growth:.1%}")
    return Outcome(table(of_files.seen, of_bodies.seen, len(originals), slow, (before, after)), faults)


def resident_mb(server: Besieged, *, settled: bool) -> float:
    """Memory of what lasts, once what is free has been given back."""
    time.sleep(EVERY_S + 2 if settled else 0)
    return server.resident_mb(lasting=True)


def table(files: Seen, bodies: Seen, originals: int, slow: list[str], memory: tuple[float, float]) -> str:
    head = f"{originals} real files; four clients; what is accepted is read back, compared and erased."
    rows = [
        ("sent", sum(files.statuses.values()), sum(bodies.statuses.values())),
        *((f"answered {s}", files.statuses[s], bodies.statuses[s]) for s in sorted(files.statuses | bodies.statuses)),
        ("neither 2xx nor a 4xx problem, or stored otherwise than sent", len(files.faults), len(bodies.faults)),
        ("slowest answer, seconds", f"{files.slowest_s:.2f}", f"{bodies.slowest_s:.2f}"),
    ]
    lines = ["| what | files | bodies |", "|---|---|---|", *(f"| {a} | {b} | {c} |" for a, b, c in rows)]
    (before, after), rate = memory, f"{memory[1] / memory[0] - 1:+.1%}"
    grown = f"{before:.0f} MB around the middle, {after:.0f} MB at the end, means of three looks each ({rate})"
    return "\n".join(
        [
            head,
            "",
            *lines,
            "",
            f"Memory of the processes that last, decoders thus left out: {grown}.",
            f"Slower than 2 s, again alone: {len(slow)}.",
        ]
    )


class Sender:
    """Sends what a seed makes, and looks at what is stored."""

    def __init__(self, client: httpx.Client, make: Callable[[int], tuple[str, bytes]]) -> None:
        self._client, self._make, self.seen = client, make, Seen()

    def send(self, seeds: range) -> None:
        """What each of these seeds makes."""
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(self._one, seeds))

    def slow_again(self) -> list[str]:
        """Those that are slow when nothing else is asked either: a busy machine makes anything slow once."""
        return [
            f"seed {seed} {kind}"
            for seed in self.seen.slow
            for kind, data in [self._make(seed)]
            if self._slow(kind, data)
        ]

    def _slow(self, kind: str, data: bytes) -> bool:
        started = time.perf_counter()
        self._post(kind, data)
        return time.perf_counter() - started > SLOW_S

    def _one(self, seed: int) -> None:
        kind, data = self._make(seed)
        started = time.perf_counter()
        answer = self._post(kind, data)
        self.seen.note(seed, answer, time.perf_counter() - started)
        if answer is not None and answer.is_success:
            try:
                fault = self._stored_otherwise(answer.json(), kind, data)
            except httpx.HTTPError as error:
                fault = f"what was accepted cannot be read back: {error}"
            if fault:
                self.seen.faults.append(f"seed {seed}: {fault}")

    def _post(self, kind: str, data: bytes) -> httpx.Response | None:
        try:
            if kind == "body":
                return self._client.post("/cases", content=data, headers={"Content-Type": "application/json"})
            parts = [("case", (None, b'{"patient": {"id": "p"}}', "application/json")), ("files", ("a.dcm", data))]
            return self._client.post("/cases", files=parts)
        except httpx.TransportError:
            return None

    def _stored_otherwise(self, case: dict[str, Any], kind: str, data: bytes) -> str | None:
        where = f"/cases/{case['id']}"
        if kind == "file":
            same = self._client.get(f"{where}/files/0").content == data
            shown = self._client.get(f"{where}/files/0/preview.png").status_code
            fault = None if same and shown == 200 else f"same bytes: {same}, preview {shown}"
        else:
            sent, kept = json.loads(data), self._client.get(where).json()
            changed = [
                k for k in ("note", "external_id") if (sent.get(k) or None) != kept[k] and str(sent.get(k)).strip()
            ]
            fault = f"changed: {changed}" if changed or sent["patient"]["id"] != kept["patient"]["id"] else None
        self._client.delete(where).raise_for_status()
        return fault


def mutated_file(originals: list[bytes], chance: random.Random) -> bytes:
    """A real file with one to four changes of the kinds that parsers stumble over."""
    data = bytearray(chance.choice(originals))
    for _ in range(chance.randrange(1, 5)):
        chance.choice(CHANGES)(data, chance, originals)
    return bytes(data)


def place(data: bytearray, chance: random.Random) -> int:
    """Half of the time in the header, where bytes mean most."""
    return chance.randrange(max(1, min(len(data), 2048) if chance.random() < 0.5 else len(data)))


def flip(data: bytearray, chance: random.Random, _: list[bytes]) -> None:
    if data:
        data[place(data, chance)] ^= 1 << chance.randrange(8)


def overwrite(data: bytearray, chance: random.Random, _: list[bytes]) -> None:
    at = place(data, chance)
    data[at : at + 4] = chance.choice([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", chance.randbytes(4)])


def cut(data: bytearray, chance: random.Random, _: list[bytes]) -> None:
    at = place(data, chance)
    del data[at : at + chance.choice([1, 2, 64, len(data)])]


def repeat(data: bytearray, chance: random.Random, _: list[bytes]) -> None:
    at = place(data, chance)
    data[at:at] = data[at : at + chance.randrange(1, 300)] * chance.choice([1, 1, 40])


def splice(data: bytearray, chance: random.Random, originals: list[bytes]) -> None:
    other, at = chance.choice(originals), place(data, chance)
    start = chance.randrange(len(other))
    data[at : at + 200] = other[start : start + chance.randrange(1, 2000)]


def another_vr(data: bytearray, chance: random.Random, _: list[bytes]) -> None:
    at = place(data, chance)
    data[at : at + 2] = chance.choice([b"SQ", b"UN", b"OW", b"UT", b"US", b"IS", b"DS", b"AT"])


CHANGES: tuple[Callable[[bytearray, random.Random, list[bytes]], None], ...] = (
    *(flip, flip, flip, overwrite, overwrite, cut, repeat, splice, another_vr),
)


def mutated_body(chance: random.Random) -> bytes:
    """A case with odd values in odd places, or its text with odd bytes in it."""
    body = json.loads(json.dumps(BODY))
    for _ in range(chance.randrange(1, 4)):
        holder, key = chance.choice(list(places(body)))
        if chance.random() < 0.2:
            holder[chance.choice(["__proto__", "id", "patient", "\x00"])] = chance.choice(ODD)
        else:
            holder[key] = chance.choice(ODD)
    text = bytearray(json.dumps(body, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass"))
    if chance.random() < 0.4:
        for _ in range(chance.randrange(1, 5)):
            chance.choice((flip, overwrite, cut, repeat))(text, chance, [])
    return bytes(text)


def places(value: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    for key, inner in value.items():
        yield value, key
        if isinstance(inner, dict):
            yield from places(inner)
