"""Mixed traffic from many clients by an open loop: calls are due at their own times, however long others take.

So a slow answer does not keep the next call from being due, and its lateness counts (no coordinated omission). Every
answer is checked: a case that is read back must be the one that was sent, files byte for byte.
"""

from __future__ import annotations

import hashlib
import json
import queue
import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx

from clinical_mm.case import Case
from clinical_mm.importing.case_json import case_to_json
from clinical_mm.phantom import draw

MIX = {"submit": 10, "predict": 25, "explain": 5, "list": 30, "read": 10, "file": 10, "review": 10}
"""Percent of each kind of call; reading a case is half its JSON, half its files."""
LONGEST_S, TRIES = 60.0, 20


@dataclass(frozen=True)
class Sent:
    """A case as it was sent."""

    document: dict[str, Any]
    files: tuple[bytes, ...]


@dataclass
class Heard:
    """What became of one kind of calls. Times run from when a call was due."""

    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    pushed_back: int = 0
    """Answers of 429 with Retry-After, which was obeyed."""


class Wrong(Exception):
    """An answer that is none, or not the right one."""


class Clients:
    """Clients with a key each, and what they know of each other's cases."""

    def __init__(self, address: str, keys: Sequence[str], seed: int = 0) -> None:
        if not address.startswith("http://127.0.0.1:"):
            raise ValueError("a storm is sent to this machine alone")
        self._http = [_client(address, key) for key in keys]
        self._random, self._lock = random.Random(seed), threading.Lock()
        self._drawn: queue.Queue[Case] = queue.Queue(32)
        threading.Thread(target=self._keep_drawing, args=[seed], name="draw", daemon=True).start()
        self._sent: dict[str, Sent] = {}
        self._predicted: list[tuple[str, str]] = []
        self._unexplained: list[str] = []
        self.heard = {kind: Heard() for kind in MIX}
        self.late = 0.0

    def begin(self, cases: int = 24) -> None:
        """Cases and predictions for the first calls; models are loaded meanwhile. Counted nowhere."""
        http = self._http[0]
        for _ in range(cases):
            self._submit(http)
        for _ in range(cases):
            self._predict(http)
        self._explain(http)

    def storm(self, seconds: float, rate: float) -> None:
        """``rate`` calls a second for so long, at random moments (Poisson)."""
        due = list(_arrivals(self._random, seconds, rate))
        kinds = self._random.choices(list(MIX), weights=list(MIX.values()), k=len(due))
        calls = iter(list(zip(due, kinds, strict=True)))
        began = time.perf_counter()

        def client(http: httpx.Client) -> None:
            while True:
                with self._lock:
                    moment, kind = next(calls, (0.0, ""))
                if not kind:
                    return
                time.sleep(max(0.0, began + moment - time.perf_counter()))
                self.late = max(self.late, time.perf_counter() - began - moment)
                self._call(http, kind, began + moment)

        with ThreadPoolExecutor(len(self._http)) as pool:
            for done in [pool.submit(client, http) for http in self._http]:
                done.result()

    def close(self) -> None:
        """Hang up."""
        for http in self._http:
            http.close()

    def _call(self, http: httpx.Client, kind: str, due: float) -> None:
        heard = self.heard[kind]
        try:
            getattr(self, f"_{kind}")(http)
        except (Wrong, httpx.HTTPError, KeyError, ValueError) as error:
            heard.errors.append(f"{kind}: {type(error).__name__}: {error}")
        heard.seconds.append(time.perf_counter() - due)

    def _ask(self, http: httpx.Client, kind: str, method: str, path: str, **body: Any) -> httpx.Response:
        """The answer; where the service says "later", it is asked again then."""
        for _ in range(TRIES):
            answer = http.request(method, path, **body)
            if answer.status_code == 429 and "Retry-After" in answer.headers:
                self.heard[kind].pushed_back += 1
                time.sleep(float(answer.headers["Retry-After"]))
                continue
            if answer.is_success:
                return answer
            raise Wrong(f"{answer.status_code} {answer.text[:200]}")
        raise Wrong(f"still 429 after {TRIES} times")

    def _submit(self, http: httpx.Client) -> None:
        case = self._drawn.get(timeout=LONGEST_S)
        document, files = case_to_json(case), tuple(image.read() for image in case.images)
        document.pop("diagnoses", None)
        parts: list[Any] = [("case", (None, json.dumps(document), "application/json"))]
        parts += [("files", (f"{n}.dcm", data, "application/dicom")) for n, data in enumerate(files)]
        made = self._ask(http, "submit", "POST", "/cases", files=parts).json()
        sent = Sent(document, files)
        _same(sent, made)
        with self._lock:
            self._sent[made["id"]] = sent

    def _predict(self, http: httpx.Client) -> None:
        case = self._some(list(self._sent))
        made = self._ask(http, "predict", "POST", f"/cases/{case}/predictions").json()
        _check(made["case_id"] == case, "a prediction of another case")
        _check(all(0 <= d["probability"] <= 1 for d in made["diagnoses"]), "no probability")
        with self._lock:
            self._predicted.append((made["id"], case))
            self._unexplained.append(made["id"])

    def _explain(self, http: httpx.Client) -> None:
        with self._lock:
            prediction = self._unexplained.pop() if self._unexplained else self._predicted[-1][0]
        made = self._ask(http, "explain", "POST", f"/predictions/{prediction}/explanations", json={}).json()
        _check(made["prediction_id"] == prediction, "an explanation of another prediction")
        told = made["baseline_value"] + sum(part["contribution"] for part in made["modalities"])
        _check(abs(told - made["value"]) < 0.1 + 0.05 * abs(made["value"]), "contributions that do not add up")

    def _list(self, http: httpx.Client) -> None:
        wanted = self._some(
            [{}, {"labelled": True}, {"review": "unreviewed"}, {"q": "fever"}, {"order": "uncertainty"}]
        )
        page = self._ask(http, "list", "POST", "/cases/search", json={"limit": 50, **wanted}).json()["items"]
        _check(len(page) <= 50, "a page that is too long")
        if wanted.get("labelled"):
            _check(all(case["diagnoses"] is not None for case in page), "an unlabelled case among the labelled")
        if "order" not in wanted:
            _check(page == sorted(page, key=lambda case: case["id"], reverse=True), "not the newest first")

    def _read(self, http: httpx.Client) -> None:
        case = self._some(list(self._sent))
        _same(self._sent[case], self._ask(http, "read", "GET", f"/cases/{case}").json())

    def _file(self, http: httpx.Client) -> None:
        case = self._some([name for name, sent in list(self._sent.items()) if sent.files])
        files = self._sent[case].files
        n = self._random.randrange(len(files))
        answer = self._ask(http, "file", "GET", f"/cases/{case}/files/{n}")
        _check(answer.content == files[n], "other bytes than were sent")

    def _review(self, http: httpx.Client) -> None:
        prediction, case = self._some(self._predicted[-200:])
        said = {"prediction": prediction, "verdict": "override", "diagnoses": ["pneumonia"], "comment": "of a storm"}
        made = self._ask(http, "review", "POST", f"/cases/{case}/reviews", json=said).json()
        _check((made["case_id"], made["diagnoses"]) == (case, ["pneumonia"]), "another review")

    def _keep_drawing(self, seed: int) -> None:
        """Synthetic cases ahead of their time, each another, so that drawing them delays no call."""
        for drawn in draw(10**9, 1_000_000 + seed):
            self._drawn.put(drawn.case)

    def _some(self, among: Sequence[Any]) -> Any:
        return among[self._random.randrange(len(among))]


def _same(sent: Sent, told: dict[str, Any]) -> None:
    for name in ("external_id", "note", "patient"):
        _check(told[name] == sent.document.get(name), f"another {name} than was sent")
    _check(told["vitals"] == sent.document.get("vitals", {}), "other vitals than were sent")
    hashes = [hashlib.sha256(data).hexdigest() for data in sent.files]
    _check([file["sha256"] for file in told["files"]] == hashes, "other files than were sent")


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Wrong(otherwise)


def _client(address: str, key: str) -> httpx.Client:
    return httpx.Client(base_url=f"{address}/v1", headers={"Authorization": f"Bearer {key}"}, timeout=LONGEST_S)


def _arrivals(chance: random.Random, seconds: float, rate: float) -> Iterator[float]:
    moment = chance.expovariate(rate)
    while moment < seconds:
        yield moment
        moment += chance.expovariate(rate)
