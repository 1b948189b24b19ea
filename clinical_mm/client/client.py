"""The client: one method for each thing that the service does."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import httpx
from pydantic import BaseModel

from clinical_mm.client.answers import (
    CaseImport,
    Explanation,
    LineResult,
    Prediction,
    PredictionRun,
    Review,
    Run,
    StoredCase,
    TrainedModel,
    TrainingRun,
)
from clinical_mm.client.folders import portions
from clinical_mm.client.sending import Part, Sending

File = str | Path | tuple[str, bytes]
"""A path; or a name and the bytes themselves."""
M = TypeVar("M", bound=BaseModel)
R = TypeVar("R", bound=Run)
Verdict = Literal["confirm", "override", "unsure"]
PAGE = 200


class Client:
    """One service, seen through one key. Every method raises Problem where the service refuses.

    A request that meets 429 or 503, or a line that breaks, is sent again, at most ``retries`` times; whatever it makes
    is made once. Safe to share between threads.
    """

    def __init__(self, address: str, key: str, *, timeout_s: float = 120.0, retries: int = 5) -> None:
        """``address``: such as http://127.0.0.1:8000; ``key``: an API key, ``clinical-mm keys create``."""
        headers = {"Authorization": f"Bearer {key}", "User-Agent": "clinical-mm-client"}
        self._http = httpx.Client(base_url=f"{address.rstrip('/')}/v1", headers=headers, timeout=timeout_s)
        self._sending = Sending(self._http, retries)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back connections."""
        self._http.close()

    # cases

    def submit(self, case: Mapping[str, Any], files: Iterable[File] = ()) -> StoredCase:
        """Store a case, whole or not at all; ``case`` as docs/client.md shows it."""
        parts = [("files", _part(file)) for file in files]
        if not parts:
            return self._get("POST", "/cases", StoredCase, json=dict(case))
        whole = json.dumps(dict(case)).encode()
        return self._get("POST", "/cases", StoredCase, parts=[("case", (None, whole, "application/json")), *parts])

    def case(self, case_id: str) -> StoredCase:
        """One case."""
        return self._get("GET", f"/cases/{case_id}", StoredCase)

    def cases(self, **wanted: Any) -> Iterator[StoredCase]:
        """Every case that fits, page by page: q, diagnosis, labelled, golden, since, review, order.

        Words (q) may be a patient's: what is wanted goes in a body, never in an address.
        """
        return self._pages("POST", "/cases/search", StoredCase, {"limit": PAGE, **wanted})

    def change(self, case: StoredCase, **fields: Any) -> StoredCase:
        """Change note, vitals, diagnoses or acquired_at of a case as it was read; None removes.

        Raises:
            Problem: of status 412 where somebody else has changed it since.
        """
        seen = {"If-Match": f'"{case.version}"'}
        return self._get("PATCH", f"/cases/{case.id}", StoredCase, json=fields, headers=seen)

    def erase(self, case_id: str) -> None:
        """Erase a case for good (role admin)."""
        self._sending.send("DELETE", f"/cases/{case_id}")

    def file(self, case_id: str, position: int) -> bytes:
        """A file as it was sent."""
        return self._sending.send("GET", f"/cases/{case_id}/files/{position}").content

    # what a model says, and why; what a reviewer says

    def predict(self, case_id: str, model: str | None = None) -> Prediction:
        """Ask the model that serves, or another one."""
        return self._get("POST", f"/cases/{case_id}/predictions", Prediction, json={"model": model})

    def predictions(self, case_id: str) -> list[Prediction]:
        """A case's predictions, newest first."""
        return self._items(f"/cases/{case_id}/predictions", Prediction)

    def explain(self, prediction_id: str, target: str | None = None, method: str | None = None) -> Explanation:
        """Why: the most probable diagnosis, or ``target``; by the model's default method, or another one."""
        asked = {"target": target, "methods": None if method is None else [method]}
        return self._get("POST", f"/predictions/{prediction_id}/explanations", Explanation, json=asked)

    def heat_map(self, explanation: Explanation, position: int = 0) -> bytes:
        """The PNG of a heat map over its image."""
        return self._sending.send("GET", f"/explanations/{explanation.id}/images/{position}.png").content

    def review(
        self,
        case_id: str,
        verdict: Verdict,
        *,
        diagnoses: Sequence[str] | None = None,
        prediction: str | None = None,
        comment: str | None = None,
    ) -> Review:
        """Confirm a prediction, override it with the diagnoses that hold, or say unsure."""
        labels = None if diagnoses is None else list(diagnoses)
        said = {"verdict": verdict, "prediction": prediction, "comment": comment, "diagnoses": labels}
        return self._get("POST", f"/cases/{case_id}/reviews", Review, json=said)

    def reviews(self, case_id: str) -> list[Review]:
        """A case's reviews, newest first."""
        return self._items(f"/cases/{case_id}/reviews", Review)

    # models

    def models(self) -> list[TrainedModel]:
        """Models, newest first."""
        return self._items("/models", TrainedModel)

    def promote(self, model_id: str, reason: str | None = None) -> TrainedModel:
        """Let a model serve (role admin)."""
        return self._get("POST", f"/models/{model_id}/promote", TrainedModel, json={"reason": reason})

    def rollback(self) -> TrainedModel:
        """Let the model serve that served before (role admin)."""
        return self._get("POST", "/models/rollback", TrainedModel)

    # jobs

    def train(self, config: str = "default", **asked: Any) -> TrainingRun:
        """Queue a training (role trainer): set, filter, labels, start_from as the API takes them."""
        return self._get("POST", TrainingRun.path, TrainingRun, json={"config": config, **asked})

    def import_cases(self, cases: Iterable[Mapping[str, Any] | str], files: Iterable[File] = ()) -> CaseImport:
        """Queue many cases; each names its ``files`` as those are named here. A text is a line as it stands."""
        lines = [case if isinstance(case, str) else json.dumps(dict(case)) for case in cases]
        whole: Part = ("cases", ("cases.jsonl", "\n".join(lines).encode(), "application/x-ndjson"))
        return self._get("POST", CaseImport.path, CaseImport, parts=[whole, *(("files", _part(f)) for f in files)])

    def import_folder(self, folder: Path, *, most_mb: int = 100, most_lines: int = 1000) -> Iterator[CaseImport]:
        """Queue a folder of ``cases.jsonl`` and files, as ``clinical-mm cases export`` writes it, portion by portion.

        Raises:
            FileNotFoundError: there is no ``cases.jsonl``.
        """
        for lines, files in portions(folder, most_mb * 2**20, most_lines):
            yield self.import_cases(lines, [(name, path.read_bytes()) for name, path in files.items()])

    def predict_many(self, model: str | None = None, **wanted: Any) -> PredictionRun:
        """Queue predictions of every stored case that fits: q, diagnosis, labelled, since, review."""
        chosen = {name: _plain(value) for name, value in wanted.items()}
        return self._get("POST", PredictionRun.path, PredictionRun, json={"filter": chosen, "model": model})

    def results(self, run: CaseImport, outcome: str | None = None) -> Iterator[LineResult]:
        """What came of each line of an import, or of each case of a run of predictions."""
        return self._pages("GET", f"{run.path}/{run.id}/results", LineResult, {"limit": 1000, "outcome": outcome})

    def wait(
        self,
        run: R,
        progress: Callable[[R], None] | None = None,
        *,
        every_s: float = 1.0,
        longest_s: float | None = None,
    ) -> R:
        """Follow a job until it has ended, however; ``progress`` is told of each look.

        Raises:
            TimeoutError: it has not ended after ``longest_s``; it goes on all the same.
        """
        deadline = None if longest_s is None else time.monotonic() + longest_s
        while True:
            now = self._get("GET", f"{run.path}/{run.id}", type(run))
            if progress is not None:
                progress(now)
            if now.has_ended:
                return now
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"{run.path}/{run.id} is still {now.state}, {now.fraction:.0%} done")
            time.sleep(every_s)

    def cancel(self, run: R) -> R:
        """Stop a job; what it has done stays."""
        return self._get("POST", f"{run.path}/{run.id}/cancel", type(run))

    def _get(self, method: str, path: str, kind: type[M], **sent: Any) -> M:
        return kind.model_validate_json(self._sending.send(method, path, **sent).content)

    def _items(self, path: str, kind: type[M]) -> list[M]:
        told = self._sending.send("GET", path).json()
        return [kind.model_validate(item) for item in told["items"]]

    def _pages(
        self, method: Literal["GET", "POST"], path: str, kind: type[M], wanted: Mapping[str, Any]
    ) -> Iterator[M]:
        asked = {name: _plain(value) for name, value in wanted.items() if value is not None}
        while True:
            sent: dict[str, Any] = {"params" if method == "GET" else "json": asked}
            page = self._sending.send(method, path, **sent).json()
            yield from (kind.model_validate(item) for item in page["items"])
            if page["next_cursor"] is None:
                return
            asked["cursor"] = page["next_cursor"]


def _plain(value: Any) -> Any:
    """A moment as RFC 3339; anything else as it is."""
    return value.isoformat() if isinstance(value, datetime) else value


def _part(file: File) -> tuple[str, bytes, str]:
    name, data = file if isinstance(file, tuple) else (Path(file).name, Path(file).read_bytes())
    return name, data, "application/octet-stream"
