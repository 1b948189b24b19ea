"""The examples of the OpenAPI document: recorded from a walk through the real service, never written by hand.

``python -m pytest tests/api/test_examples.py --record-examples`` writes api/examples.json anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx

from clinical_mm.case import Case
from tests.api.bulk.conftest import Work
from tests.api.bulk.test_imports import lines, sent
from tests.api.conftest import case_json

Json = dict[str, Any]
ID = re.compile(r"\b([a-z]+)_[0-9a-hjkmnp-tv-z]{20}\b")
ITEMS, LETTERS = 2, 400
SECRET = "cmm_shown-only-now"
FREE = {"card", "metrics", "report", "result"}
"""Documents of no fixed schema: a few of their fields show what they look like."""
FIELDS = 5


class Recorder:
    """Keeps, for each operation of the document, the first request and answer of its kind."""

    def __init__(self, document: Json) -> None:
        self.seen: dict[str, Json] = {}
        self._operations = [
            (method.upper(), re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)), operation["operationId"])
            for path, item in document["paths"].items()
            for method, operation in item.items()
        ]
        # a fixed word before an id: /cases/counts is no case
        self._operations.sort(key=lambda known: known[1].pattern.count("[^/]+"))

    def keep(self, answer: httpx.Response) -> None:
        """To be called with each answer."""
        answer.read()
        assert answer.is_success, answer.text
        request = answer.request
        name = next(
            name for m, path, name in self._operations if m == request.method and path.fullmatch(request.url.path)
        )
        kept = self.seen.setdefault(name, {})
        if request.headers.get("Content-Type") == "application/json":
            kept.setdefault("request", json.loads(request.content))
        if answer.headers.get("Content-Type") == "application/json":
            kept.setdefault("responses", {}).setdefault(str(answer.status_code), _short(answer.json()))


def walk(
    client: httpx.Client, services: Any, cases: list[Case], new_model: Callable[..., str], work: Work
) -> None:  # one thing after another
    """Call every operation that takes or gives JSON, as its users do."""
    for path in ("/catalogue", "/project", "/keys"):
        client.get(path)
    client.patch("/project", json={"read_first": False})
    client.post("/keys", json={"role": "clinician", "name": "ward 3", "expires_at": "2100-01-01T00:00:00Z"})
    model, challenger = new_model(), new_model()
    case = client.post("/cases", json=case_json(diagnoses=...)).json()["id"]
    admin = services.access.operator("default")
    for number, drawn in enumerate(cases):
        services.cases.submit_case(admin, replace(drawn, external_id=f"acc-{number + 2}"), synthetic=True)
    client.patch(f"/cases/{case}", json={"vitals": {"spo2": 91}, "acquired_at": None})
    for path in ("/cases", "/cases/counts", f"/cases/{case}"):
        client.get(path)
    client.post("/cases/search", json={"q": "cough", "review": "unreviewed", "order": "worklist", "limit": 20})
    client.post("/cases/counts", json={"q": "cough"})
    _ask(client, case)
    _manage(client, model, challenger)
    _run(client, work)
    _keep(client)
    client.get("/audit")


def _ask(client: httpx.Client, case: str) -> None:
    prediction = client.post(f"/cases/{case}/predictions", json={}).json()["id"]
    asked = {"target": "pneumonia", "methods": ["integrated_gradients"]}
    explanation = client.post(f"/predictions/{prediction}/explanations", json=asked).json()["id"]
    said = {"prediction": prediction, "verdict": "override", "diagnoses": ["heart-failure"], "comment": "oedema"}
    review = client.post(f"/cases/{case}/reviews", json=said).json()["id"]
    for path in ("predictions", "similar", "reviews"):
        client.get(f"/cases/{case}/{path}")
    for path in (f"/predictions/{prediction}", f"/predictions/{prediction}/explanations"):
        client.get(path)
    client.get(f"/explanations/{explanation}")
    client.post(f"/reviews/{review}/withdraw")


def _manage(client: httpx.Client, model: str, challenger: str) -> None:
    for path in ("/models", f"/models/{model}", f"/models/{model}/report", f"/models/{model}/card"):
        client.get(path)
    client.get(f"/models/{model}/cases", params={"limit": 2})
    client.put(f"/models/{challenger}/shadow")
    client.get(f"/models/{challenger}/shadow")
    client.post(f"/models/{challenger}/comparison")
    client.get(f"/models/{challenger}/comparison")
    client.post(f"/models/{challenger}/promote", json={"reason": "agreed on Monday"})
    client.post("/models/rollback")
    client.get("/watching")


def _keep(client: httpx.Client) -> None:
    labelled = client.get("/cases", params={"labelled": True}).json()["items"][0]
    client.put(f"/cases/{labelled['id']}/golden")
    client.delete(f"/cases/{labelled['id']}/golden")
    certificate = client.post("/erasures", json={"patient": labelled["patient"]["id"]}).json()["id"]
    for path in ("/erasures", f"/erasures/{certificate}"):
        client.get(path)


def _run(client: httpx.Client, work: Work) -> None:
    training = client.post("/training-runs", json={"config": "small", "set": {"training.epochs": 5}}).json()["id"]
    client.get("/training-runs")
    client.get(f"/training-runs/{training}")
    client.post(f"/training-runs/{training}/cancel")
    sent_cases = sent(lines(case_json(external_id="acc-90"), case_json(external_id="acc-91", vitals={"mood": 3})))
    scored = {"filter": {"labelled": False}}
    for path, body in (("/case-imports", sent_cases), ("/prediction-runs", {"json": scored})):
        run = client.post(path, **body).json()["id"]
        work(run)
        for part in (path, f"{path}/{run}", f"{path}/{run}/results"):
            client.get(part)
        client.post(f"{path}/{client.post(path, **body).json()['id']}/cancel")


def without_ids(told: Any) -> Any:
    """The same whoever recorded it."""
    return json.loads(ID.sub(r"\1_ID", json.dumps(told)))


def _short(told: Any, *, free: bool = False) -> Any:
    """A few items of each list, and no secret."""
    if isinstance(told, dict):
        kept = list(told.items())[: FIELDS if free else None]
        return {name: SECRET if name == "secret" else _short(value, free=free or name in FREE) for name, value in kept}
    if isinstance(told, list):
        return [_short(value, free=free) for value in told[:ITEMS]]
    return f"{told[:LETTERS]}..." if isinstance(told, str) and len(told) > LETTERS else told
