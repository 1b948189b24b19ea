"""``clinical-mm doctor`` on machines that lack something."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from api.cli.doctor import doctor, examine
from api.ground.blobs import Blobs
from api.observing import environment
from api.observing.environment import kept_secrets, open_files, port, round_trip, settings_names, transport
from api.observing.store import Store
from tests.api.conftest import BareSettings
from tests.api.observing.s3 import listening_s3


def test_a_misspelt_setting_is_named_with_the_one_that_is_meant(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("CLINICAL_MM_DATABSE_URL=postgresql://\nCLINICAL_MM_DEVICE=cpu\nPATH=/bin\n")
    found = settings_names({"CLINICAL_MM_WORKSPACE": "w", "CLINICAL_MM_XYZZY": "1", "HOME": "/"}, dotenv)
    assert found.state == "warn"
    assert found.detail == "unknown: CLINICAL_MM_DATABSE_URL (is CLINICAL_MM_DATABASE_URL meant?); CLINICAL_MM_XYZZY"
    assert settings_names({"CLINICAL_MM_WORKSPACE": "w"}, tmp_path / "none").state == "ok"


def test_a_secret_that_others_may_read_fails(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir(mode=0o750)
    secret = workspace / "session.secret"
    secret.write_text("x")
    secret.chmod(0o644)
    found = kept_secrets(workspace, tmp_path / ".env")
    assert (found.state, f"chmod 600 {secret}" in found.do) == ("fail", True)
    for mode in (0o600, 0o440):  # the latter is how Kubernetes mounts one for the group of its pod
        secret.chmod(mode)
        assert kept_secrets(workspace, tmp_path / ".env").state == "ok"
    workspace.chmod(0o755)
    assert kept_secrets(workspace, tmp_path / ".env").state == "warn"


def test_what_a_vault_mounts_is_looked_at_too(tmp_path: Path) -> None:
    mounted = tmp_path / "secrets"
    mounted.mkdir()
    file = mounted / "CLINICAL_MM_METRICS_TOKEN"
    file.write_text("x")
    file.chmod(0o440)
    assert kept_secrets(tmp_path / "none", tmp_path / ".env", mounted).state == "ok"
    file.chmod(0o444)
    found = kept_secrets(tmp_path / "none", tmp_path / ".env", mounted)
    assert (found.state, "defaultMode 0440" in found.do) == ("fail", True)


def test_few_open_files_are_told() -> None:
    assert open_files(256).state == "warn"
    assert open_files(65536).state == "ok"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"database_url": "postgresql+psycopg://u:p@db.example/x"}, "the database (add ?sslmode=verify-full"),
        ({"otlp_endpoint": "http://collector.example:4318"}, "CLINICAL_MM_OTLP_ENDPOINT (https instead of http)"),
        ({"rate_limit_storage": "redis://counts.example/0"}, "(rediss instead of redis)"),
        ({"mlflow_tracking_uri": "http://mlflow.example"}, "CLINICAL_MM_MLFLOW_TRACKING_URI"),
    ],
)
def test_what_would_travel_in_the_clear_is_told(tmp_path: Path, changes: dict[str, str], told: str) -> None:
    found = transport(BareSettings(workspace=tmp_path, **changes), {})
    assert found.state == "warn"
    assert told in found.detail
    assert "p@db" not in found.detail


def test_encrypted_and_local_lines_are_fine(tmp_path: Path) -> None:
    url = "postgresql+psycopg://u:p@db.example/x?sslmode=verify-full"
    settings = BareSettings(workspace=tmp_path, database_url=url, otlp_endpoint="http://127.0.0.1:4318")
    found = transport(settings, {})
    assert found.state == "ok"
    assert "CLINICAL_MM_PROXIES=1" in found.detail
    assert "of 2 proxies" in transport(settings.model_copy(update={"proxies": 2}), {}).detail


@pytest.mark.parametrize("name", ["AWS_ENDPOINT", "AWS_ENDPOINT_URL"])
def test_an_object_store_in_the_clear_is_told(tmp_path: Path, name: str) -> None:
    found = transport(BareSettings(workspace=tmp_path, blob_url="s3://b"), {name: "http://objects.example:8333"})
    assert found.state == "warn"
    assert f"{name} (https" in found.detail


def test_a_port_that_another_program_has_is_told() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        number = other.getsockname()[1]
        assert port(number).state == "warn"
        assert "serve --port N" in port(number).do
        assert port(number, "0.0.0.0").state == "warn"
    assert port(number).state == port(0).state == "ok"
    assert port(number, "no.such.host.invalid").state == "warn"


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "REGION": "eu-1", "ALLOW_HTTP": "true"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)


def test_an_object_store_is_written_read_and_cleared(cloud: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening_s3() as (address, held):
        monkeypatch.setenv("AWS_ENDPOINT", address)
        found = round_trip(Blobs("s3://bucket/prefix", Path("unused")), "s3://bucket/prefix")
        assert found.state == "ok", found
        assert held == {}


def test_an_object_store_that_is_not_there_is_told_soon(cloud: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "ROUND_TRIP_S", 0.5)
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:1")
    assert round_trip(Blobs("s3://bucket/prefix", Path("unused")), "s3://bucket/prefix").state == "fail"


@pytest.mark.postgresql
def test_the_version_of_postgresql_is_told(postgresql_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(postgresql_server.replace("postgresql://", "postgresql+psycopg://", 1))
    assert store.version().state == "ok"
    assert store.version().detail.startswith("PostgreSQL ")
    monkeypatch.setattr("api.observing.store.OLDEST_POSTGRESQL", 990000)
    assert store.version().state == "warn"


def test_it_fails_where_one_check_fails_and_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = tmp_path / "workspace"
    monkeypatch.chdir(tmp_path)
    url = "postgresql+psycopg://user:word@127.0.0.1:1/hospital"
    settings = BareSettings(workspace=workspace, database_url=url, otlp_endpoint="collector:4318")
    rows = {row.check: row for row in examine(settings, 8000)}
    assert rows["database"].state == "fail"
    assert "CLINICAL_MM_DATABASE_URL" in rows["database"].detail
    assert rows["clock"].state == rows["job worker"].state == "warn"
    assert rows["traces"].state == "fail"
    assert "word" not in json.dumps([row.detail for row in rows.values()])
    monkeypatch.setattr("api.cli.doctor.settings_from_environment", lambda: settings)
    assert CliRunner().invoke(doctor, ["--json"]).exit_code == 1
    assert os.environ.get("CLINICAL_MM_DATABASE_URL") is None
