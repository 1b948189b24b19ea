"""R7: identities that nobody has, sent in every place a call has; afterwards they must lie where patients are kept.

That is: not in logs, metrics, URLs, error bodies, temporary files, nor beside the database and the blobs. A real
``serve`` at the level DEBUG, three projects: one keeps identity, one makes pseudonyms, one refuses. Names of fields are
left out: an error names the field that is wrong by its pointer, and a field is nobody's name.
"""

from __future__ import annotations

import json
import random
import re
import socket
import string
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.identified import dicom_bytes, identified
from tests.whole.server import Server, clinical_mm
from torture.outcome import Outcome

TITLE = "Identities in logs, metrics, URLs, error bodies and temporary files (R7)"
LONG, SHORT = 1000, 50
ALL_CALLS = 3
"""So many identities, one of each project, go through every call; the others through one kind of them each."""
MARK = "zqv"
CANARY = re.compile(rf"{MARK}[a-z]{{9}}", re.IGNORECASE)
ADDRESS = re.compile(r"""(?:href|src|action|hx-get|hx-post|data-address|data-back|data-next)=["']([^"']*)["']""")
DATABASES = ("clinical_mm.db", "jobs.db", "features.db")


@dataclass(frozen=True)
class Canary:
    """Somebody who is not: every token is of this one alone."""

    family: str
    given: str
    number: str
    phrase: str

    @property
    def note(self) -> str:
        """What was said of them."""
        return f"{self.given} {self.family}, MRN {self.number}, says {self.phrase} and has a fever."

    def case(self, **changes: Any) -> dict[str, Any]:
        """A case as it is sent."""
        whole = {"external_id": f"acc-{self.number}", "patient": {"id": self.number, "sex": "F", "age_years": 60}}
        return {**whole, "note": self.note, "vitals": {"heart_rate": 90}, **changes}

    def file(self) -> bytes:
        """A CT image of them."""
        name = f"{self.family.title()}^{self.given.title()}"
        return dicom_bytes(
            identified(
                PatientName=name,
                PatientID=self.number,
                AccessionNumber=self.phrase[:16],
                SeriesDescription=self.note[:64],
                WindowCenterWidthExplanation=name,
                BodyPartExamined=self.family[:16].upper(),
            )
        )


@dataclass
class Seen:
    """Text by where it was seen."""

    places: dict[str, list[str]] = field(default_factory=dict)
    answers: Counter[int] = field(default_factory=Counter)

    def add(self, place: str, text: str) -> None:
        """Remember what was seen there."""
        self.places.setdefault(place, []).append(text)

    def answer(self, response: httpx.Response) -> httpx.Response:
        """Keep what of an answer must hold no identity: its addresses, and its body where it is an error."""
        self.answers[500 if response.status_code == 500 else response.status_code // 100 * 100 + 1] += 1
        self.add("URLs", response.headers.get("Location", "") + response.headers.get("Link", ""))
        if response.status_code >= 400:
            self.add("error headers", "\n".join(f"{k}: {v}" for k, v in response.headers.items()))
            self.add("error bodies", response.text)
        elif "html" in response.headers.get("Content-Type", ""):
            self.add("URLs", "\n".join(ADDRESS.findall(response.text)))
        elif "json" in response.headers.get("Content-Type", ""):
            self.add("URLs", "\n".join(_addresses(response.json())))
        return response


def run(short: bool) -> Outcome:
    count = SHORT if short else LONG
    rng = random.Random(7)
    canaries = [_canary(rng) for _ in range(count)]
    seen = Seen()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        workspace, temporary = root / "workspace", root / "temporary"
        temporary.mkdir()
        keys = {mode: _project(workspace, mode) for mode in ("keep", "pseudonymise", "refuse")}
        settings = {"CLINICAL_MM_LOG_LEVEL": "debug", "CLINICAL_MM_LOG_FORMAT": "json", "TMPDIR": str(temporary)}
        with Server(workspace, settings) as server:
            for number, canary in enumerate(canaries):
                mode = ("keep", "pseudonymise", "refuse")[number % 3]
                for call in CALLS if number < ALL_CALLS else (CALLS[number % len(CALLS)],):
                    call(server, keys[mode], canary, seen)
            seen.add("metrics", httpx.get(f"{server.url}/metrics").text)
            _look(temporary, "temporary files, while it ran", seen)
        seen.add("logs", server.printed())
        _look(temporary, "temporary files, afterwards", seen)
        _look(workspace, "workspace", seen)
        seen.add("database", "".join(_text(p) for name in DATABASES for p in workspace.glob(f"{name}*")))
        seen.add("blobs", "".join(_text(p) for p in (workspace / "blobs").rglob("*") if p.is_file()))
    return _told(seen, canaries)


def _told(seen: Seen, canaries: list[Canary]) -> Outcome:
    known = {token for c in canaries for token in (c.family, c.given, c.number, c.phrase)}
    found = {
        place: {m for text in texts for token in CANARY.findall(text) if (m := token.lower()) in known}
        for place, texts in seen.places.items()
    }
    kept = {place: len(found.pop(place)) for place in ("database", "blobs")}
    calls = ", ".join(f"{n:,} of {status // 100}xx" for status, n in sorted(seen.answers.items()))
    rows = [f"| {place} | {sum(map(len, seen.places[place])):,} | {len(tokens)} |" for place, tokens in found.items()]
    table = [
        f"{len(canaries):,} identities, {len(known):,} words that nothing else holds; answers: {calls}.",
        f"The database holds {kept['database']:,} of them, the blobs {kept['blobs']:,}.",
        *("", "| where | characters searched | found |", "|---|---|---|", *rows),
    ]
    faults = [f"{place}: {_example(seen, place, tokens)}" for place, tokens in found.items() if tokens]
    faults += [f"{seen.answers[500]} answers of 500: something broke"] if seen.answers[500] else []
    faults += [f"nothing was found in the {place}: the search sees nothing" for place, n in kept.items() if not n]
    return Outcome("\n".join(table), faults)


def _example(seen: Seen, place: str, tokens: set[str]) -> str:
    """Where, and how often; three of the places."""
    pattern = re.compile("|".join(sorted(tokens)), re.IGNORECASE)
    lines = [line for text in seen.places[place] for line in text.splitlines() if pattern.search(line)]
    return f"{len(tokens)} words, for example {' // '.join(line[:300] for line in lines[:3])}"


def _canary(rng: random.Random) -> Canary:
    return Canary(*(MARK + "".join(rng.choices(string.ascii_lowercase, k=9)) for _ in range(4)))


def _project(workspace: Path, mode: str) -> str:
    """The key of an admin of a project that treats identity so."""
    made = clinical_mm("keys", "create", "--role", "admin", "--project", mode, workspace=workspace)
    clinical_mm("projects", "set", mode, "--deidentify", mode, workspace=workspace)
    return str(made.stdout.splitlines()[-1])


def _look(folder: Path, place: str, seen: Seen) -> None:
    """Every file, and its name; but for the database and the blobs."""
    for path in folder.rglob("*"):
        inside = path.relative_to(folder)
        if inside.parts[0] == "blobs" or inside.name.split("-")[0] in DATABASES:
            continue
        seen.add(place, str(inside))
        if path.is_file():
            seen.add(place, _text(path))


def _text(path: Path) -> str:
    return path.read_bytes().decode("latin-1")


def _addresses(value: Any, name: str = "") -> Iterator[str]:
    """Whatever in an answer is an address or goes into one."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from () if key == "patient" else _addresses(inner, key)  # a patient's id is no address
    elif isinstance(value, list):
        for inner in value:
            yield from _addresses(inner, name)
    elif isinstance(value, str) and (value.startswith("/v1/") or name in {"id", "next_cursor", "content", "preview"}):
        yield value


Call = Callable[[Server, str, Canary, Seen], None]


def _good(server: Server, key: str, canary: Canary, seen: Seen) -> None:
    """A case with a file, looked for, read, changed, sent again; a case without; reviewed; shown on its page."""
    with _client(server, key, seen) as client:
        headers = {"Idempotency-Key": f"send {canary.family}"}
        case = json.dumps(canary.case())
        parts = [("case", (None, case, "application/json")), ("files", (f"{canary.family}.dcm", canary.file()))]
        sent = client.post("/v1/cases", files=parts, headers=headers)
        client.post("/v1/cases", files=parts, headers=headers)
        client.post("/v1/cases", files=parts)
        client.get("/v1/cases", params={"q": canary.family, "limit": 1})
        client.get("/v1/cases/counts", params={"q": canary.phrase})
        client.post("/v1/cases/search", json={"q": canary.family, "limit": 1})
        client.post("/v1/cases/counts", json={"q": canary.phrase})
        client.post("/v1/cases/search", json={"q": canary.family, "limit": canary.phrase})
        client.get("/", params={"q": canary.family, "order": "newest"})
        client.post("/search", data={"q": canary.family, "order": "newest"})
        if sent.status_code != 201:
            sent = client.post("/v1/cases", json=canary.case(note=None, vitals={"heart_rate": 80}))
        where = sent.headers.get("Location", "/v1/cases/none")
        client.get(where)
        client.get(f"{where}/files/0")
        client.get(f"{where}/files/0/preview.png")
        client.get(where.removeprefix("/v1"), params={"q": canary.family})
        client.patch(where, json={"note": f"{canary.given} says {canary.phrase} again."})
        client.post(f"{where}/predictions")
        client.post(f"{where}/reviews", json={"verdict": "unsure", "comment": canary.note})


def _bad_bodies(server: Server, key: str, canary: Canary, seen: Seen) -> None:
    """Bodies that are wrong in every way a schema knows, and a few that it does not."""
    family, other = canary.family, f"other-{canary.number}"
    with _client(server, key, seen) as client:
        for change in (
            {"patient": {"id": family, "other": family}},
            {"patient": {"id": family, "sex": family}},
            {"patient": {"id": family, "age_years": family}},
            {"patient": {"id": family * 40}},
            {"patient": family},
            {"vitals": {"heart_rate": family}},
            {"vitals": {"heart_rate": {"value": 1, "unit": family}}},
            {"vitals": {"heart_rate": {"value": 90, "other": family}}},
            {"diagnoses": [family]},
            {"diagnoses": family},
            {"acquired_at": family},
            {"note": [family]},
            {"external_id": {"other": family}},
            {"note": f"{canary.note}\u0000"},
        ):
            client.post("/v1/cases", json=canary.case(**{"external_id": other, **change}))
        plain = {"Content-Type": "application/json"}
        for body in (
            f'{{"patient": {family}',
            f'"{canary.note}"',
            f'{{"note": "{family}',
            f"\xff{family}",
            f"[{family}]",
        ):
            client.post("/v1/cases", content=body.encode("latin-1"), headers=plain)
        client.post("/v1/cases", content=canary.note, headers={"Content-Type": f"text/{family}"})
        client.post("/v1/cases", data={"other": canary.note})
        for name, data in (
            ("garbage", canary.note.encode()),
            ("cut", canary.file()[:-3000]),
            ("head", canary.file()[:700]),
            ("zeros", canary.file()[:1200] + bytes(4000)),
            ("png", b"\x89PNG\r\n\x1a\n" + canary.note.encode()),
            ("jpeg", b"\xff\xd8\xff\xe1" + canary.note.encode()),
        ):
            parts = [("case", (None, json.dumps(canary.case(external_id=other)), "application/json"))]
            client.post("/v1/cases", files=[*parts, ("files", (f"{family} {name}.dcm", data))])
            client.post("/v1/cases", files=[*parts, ("other", (f"{family}.dcm", data))])
        for path in ("/v1/keys", "/v1/training-runs", "/v1/models/rollback", "/v1/project"):
            client.request(
                "PATCH" if path.endswith("project") else "POST", path, json={"other": canary.note, "config": family}
            )
        client.post("/v1/keys", json={"name": "x", "role": family})
        client.post("/v1/training-runs", json={"config": family, "set": {"epochs": family}})
        client.post("/v1/training-runs", json={"config": "small", "filter": {"q": family, "other": family}})


def _bad_addresses(server: Server, key: str, canary: Canary, seen: Seen) -> None:
    """Paths, queries and headers with a name in them."""
    family = canary.family
    with _client(server, key, seen) as client:
        for path in (
            *(f"/v1/{family}", f"/{family}", f"/v1/cases/{family}", f"/v1/cases/{family}/files/0", f"/cases/{family}"),
            *(f"/v1/cases/{family}/files/{family}", f"/v1/predictions/{family}", f"/v1/explanations/{family}"),
            *(f"/v1/models/{family}", f"/models/{family}", f"/models/{family}/compare", f"/v1/training-runs/{family}"),
            *(f"/training/{family}", f"/static/{family}", f"/v1/models/{family}/comparison", f"/cases/{family}/report"),
            *(f"/v1/cases?other={family}", f"/v1/cases?limit={family}", f"/v1/cases?cursor={family}"),
            *(f"/v1/cases?order={family}", f"/v1/cases?since={family}", f"/v1/cases?labelled={family}"),
            *(f"/v1/audit?action={family}&other={family}", f"/v1/audit?limit={family}", f"/v1/watching?days={family}"),
            *(f"/?review={family}", f"/?cursor={family}", f"/?order={family}", f"/?q={family}&labelled=yes"),
            *(f"/sign-in?token={family}", f"/sign-in?next=/{family}", f"/watching?days={family}", f"/docs/{family}"),
        ):
            client.get(path)
        for path in (f"/v1/cases/{family}", f"/v1/keys/{family}", f"/v1/models/{family}"):
            client.delete(path)
        client.patch(f"/v1/cases/{family}", json={"note": canary.note})
        client.post(
            f"/v1/cases/{family}/reviews", json={"verdict": family, "diagnoses": [family], "comment": canary.note}
        )
        client.post(f"/v1/cases/{family}/predictions", json={"model": family})
        client.post(f"/v1/predictions/{family}/explanations", json={"target": family, "methods": [family]})
        client.post(f"/v1/models/{family}/promote", json={"reason": canary.note})
        client.post(f"/v1/reviews/{family}/withdraw")
        client.request(f"{family[:12].upper()}", "/v1/cases")
        client.post("/sign-in", data={"key": family, "next": f"/{family}"})
        client.post(f"/cases/{family}/review", data={"comment": canary.note})
        for headers in (
            {"X-Request-Id": family},
            {"X-Request-Id": f"req-{family}"},
            {"Idempotency-Key": family * 30},
            {"If-Match": f'"{family}"'},
            {"If-None-Match": family},
            {"User-Agent": family, "Referer": f"http://x/{family}", "Cookie": f"clinical_mm_session={family}"},
            {"Accept": family, "Accept-Language": family, "Range": f"bytes={family}", family: family},
            {"Authorization": f"Bearer cmm_{family}_{family}"},
            {"Authorization": f"Basic {family}"},
        ):
            client.get("/v1/cases", headers=headers)
            client.post("/v1/cases", json=canary.case(patient=family), headers=headers)
    with httpx.Client(base_url=server.url, event_hooks={"response": [_reads(seen)]}) as nobody:
        nobody.get(f"/cases/{family}", params={"q": family})
        nobody.get(f"/?q={family}")


def _broken_http(server: Server, _key: str, canary: Canary, seen: Seen) -> None:
    """What is no request at all, which the server's own layer answers."""
    name = canary.family.encode()
    for raw in (
        b"GET /" + name + b" HTTP/9.9\r\nHost: x\r\n\r\n",
        name + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + name + b" no colon\r\n\r\n",
        b"POST /v1/cases HTTP/1.1\r\nHost: x\r\nContent-Length: " + name + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + name * 900 + b"\r\n\r\n",
        b"GET /" + name * 500 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /v1/cases HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: " + name + b"\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.sendall(raw)
            connection.settimeout(2)
            try:
                seen.add("error bodies", connection.recv(65536).decode("latin-1"))
            except (TimeoutError, ConnectionError):
                continue


CALLS: tuple[Call, ...] = (_good, _bad_bodies, _bad_addresses, _broken_http)


def _client(server: Server, key: str, seen: Seen) -> httpx.Client:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.Client(base_url=server.url, headers=headers, timeout=60, event_hooks={"response": [_reads(seen)]})


def _reads(seen: Seen) -> Callable[[httpx.Response], None]:
    def read(response: httpx.Response) -> None:
        response.read()
        seen.answer(response)

    return read
