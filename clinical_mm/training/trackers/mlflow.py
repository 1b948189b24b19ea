"""MLflow, where an operator names a tracking server; needs the extra ``tracking``.

A training that is gone on with goes on in the same MLflow run. What the server does not take in time is lost to it,
never to the training.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from clinical_mm.training.trackers.base import Status
from clinical_mm.training.trackers.errands import Errands, Refused

TRACKING_URI = "CLINICAL_MM_MLFLOW_TRACKING_URI"
"""Environment variable in which a training process of its own is told the server."""
RUN = "mlflow.json"
"""In the training's folder: which run of which server it goes on in."""
EXPERIMENT = "clinical_mm"
STATES = {"succeeded": "FINISHED", "failed": "FAILED", "cancelled": "KILLED"}
TAG = "clinical_mm."
MOST_AT_ONCE, LONGEST_VALUE = 100, 6000
HURRY_S = 1.0
"""Who cancels waits no longer than this."""
MANNERS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # its own, to its makers
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # errands are tried again
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


class Mlflow:
    """One run on a tracking server; each call is carried out aside."""

    def __init__(self, uri: str, out: Path, run_id: str = "") -> None:
        """``out``: the training's folder; ``run_id``: what the service calls the training."""
        for name, value in MANNERS.items():
            os.environ.setdefault(name, value)
        self._uri, self._place, self._run_id = uri, out / RUN, run_id
        self._client: Any = None
        self._run = ""
        self._measured: deque[tuple[str, float, int, int]] = deque()
        self._errands = Errands("MLflow")

    def begin(self, name: str, params: Mapping[str, Any]) -> None:
        """A new run, or that of the training's folder."""
        self._errands.put(partial(self._begin, f"{name} {self._run_id}".strip(), params))

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Told at this moment, whenever they arrive."""
        moment = round(1000 * time.time())
        self._measured.extend((_name(name), float(value), moment, step) for name, value in values.items())
        self._errands.put(self._log_metrics)

    def tags(self, values: Mapping[str, str]) -> None:
        """Under ``clinical_mm.``."""
        self._errands.put(partial(self._set_tags, values))

    def artefact(self, path: Path) -> None:
        """The file under its own name."""
        self._errands.put(partial(self._log_artefact, path))

    def end(self, status: Status) -> None:
        """Say how it ended, and wait a little for what is left."""
        self._errands.put(partial(self._end, status))
        self._errands.finish(HURRY_S if status == "cancelled" else None)

    def _begin(self, name: str, params: Mapping[str, Any]) -> None:
        self._client = self._client or _client(self._uri)
        with _refusals():
            run = self._earlier_run() or self._new_run(name)
        self._place.write_text(json.dumps({"run_id": run}), encoding="utf-8")
        self._run = run
        self._log_params(params)

    def _earlier_run(self) -> str | None:
        from mlflow.exceptions import MlflowException

        if not self._place.exists():
            return None
        run = str(json.loads(self._place.read_text(encoding="utf-8"))["run_id"])
        try:
            self._client.update_run(run, status="RUNNING")
        except MlflowException as error:
            if error.get_http_status_code() == 404:  # another server, or somebody deleted it
                return None
            raise
        return run

    def _new_run(self, name: str) -> str:
        called = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        found = self._client.get_experiment_by_name(called)
        experiment = found.experiment_id if found else self._client.create_experiment(called)
        tags = {f"{TAG}run": self._run_id} if self._run_id else {}
        return str(self._client.create_run(experiment, run_name=name, tags=tags).info.run_id)

    def _log_params(self, params: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        every = [Param(_name(name), str(value)[:LONGEST_VALUE]) for name, value in params.items()]
        with _refusals():
            for some in _in_batches(every):
                self._client.log_batch(self._run, params=some)

    def _log_metrics(self) -> None:
        """All that wait, at once: a slow server falls behind a quick training by one call only."""
        while self._run and self._measured:
            from mlflow.entities import Metric

            some = list(islice(self._measured, MOST_AT_ONCE))
            with _refusals():
                self._client.log_batch(self._run, metrics=[Metric(*one) for one in some])
            for _ in some:
                self._measured.popleft()

    def _set_tags(self, values: Mapping[str, str]) -> None:
        with _refusals():
            for name, value in values.items() if self._run else ():
                self._client.set_tag(self._run, f"{TAG}{name}", value)

    def _log_artefact(self, path: Path) -> None:
        if self._run:
            with _refusals():
                self._client.log_artifact(self._run, str(path))

    def _end(self, status: Status) -> None:
        if self._run:
            with _refusals():
                self._client.set_terminated(self._run, STATES[status])


def mlflow_trackers(uri: str, out: Path, run_id: str = "") -> list[Mlflow]:
    """The tracker where a server is named, none where ``uri`` is empty."""
    return [Mlflow(uri, out, run_id)] if uri else []


def _client(uri: str) -> Any:
    try:
        from mlflow import MlflowClient
        from mlflow.telemetry import set_telemetry_client
    except ImportError as error:
        raise Refused(f"pip install 'clinical-mm[tracking]' is missing here ({error})") from error
    set_telemetry_client()  # again: MONAI may have imported it before telemetry was declined
    return MlflowClient(uri)


@contextmanager
def _refusals() -> Iterator[None]:
    """Tell apart what the server refuses from what it may take another time."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if 400 <= error.get_http_status_code() < 500 and error.get_http_status_code() != 429:
            raise Refused(str(error)) from error
        raise


def _name(name: str) -> str:
    """Only letters that MLflow takes in a name."""
    return re.sub(r"[^\w\-. /]", "_", name, flags=re.ASCII)[:250]


def _in_batches(items: Sequence[Any]) -> Iterator[list[Any]]:
    each = iter(items)
    while some := list(islice(each, MOST_AT_ONCE)):
        yield some
