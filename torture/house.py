"""A service over a fresh database that listens on a port, for ordeals that ask it over HTTP."""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from werkzeug.serving import make_server

from api.access.service import Role
from api.app import create_app
from api.ground.migrate import upgrade
from api.services import Services, build
from api.settings import Settings
from benchmarks.killed_runs import CHANGES
from clinical_mm.config import ModelConfig
from clinical_mm.importing.folder import write_folder
from clinical_mm.phantom import draw

CASES, SEED = 40, 3


@dataclass(frozen=True)
class House:
    """Where it listens, a key that may do everything in its project, and the services themselves."""

    address: str
    key: str
    services: Services


@contextmanager
def house(database_url: str = "", **settings: Any) -> Iterator[House]:
    """Served until the end; "" is SQLite. It has no job worker of its own."""
    with tempfile.TemporaryDirectory(prefix="cmm-torture-") as folder:
        chosen = Settings(
            workspace=Path(folder),
            database_url=database_url,
            device="cpu",
            embedded_worker=False,
            _env_file=None,  # type: ignore[call-arg]
            **settings,
        )
        upgrade(chosen)
        services = build(chosen)
        admin = services.access.operator("default")
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        server = make_server("127.0.0.1", 0, create_app(services=services), threaded=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            key = services.access.create_key(admin, Role.ADMIN, "torture")[1]
            yield House(f"http://127.0.0.1:{server.server_port}", key, services)
        finally:
            server.shutdown()
            thread.join(timeout=10)
            server.server_close()
            services.close()


def furnish(services: Services) -> None:
    """Synthetic cases, and a small model trained on them that serves."""
    admin = services.access.operator("default")
    whole = [d.case for d in draw(3 * CASES, SEED) if d.case.note and d.case.vitals and d.case.images]
    for number, case in enumerate(whole[:CASES]):
        services.cases.submit_case(admin, replace(case, external_id=f"phantom-{number}"), synthetic=True)
    config = ModelConfig.load("small", {**CHANGES, "training.epochs": 1})
    labelled = services.cases.select(admin.project_id, {"labelled": True})
    services.training.make(admin, config, partial(write_folder, labelled))
    services.predictions.create(admin, services.cases.ids(admin).pop())  # so that nobody waits for the model to load
