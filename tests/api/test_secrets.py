"""Secrets from a vault: a folder with a file each; a new one is taken up at the next start."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from api.settings import Settings, settings_from_environment
from clinical_mm.errors import InvalidConfig
from tests.api.conftest import listening

HOLD_A_PASSWORD = {"database_url", "mlflow_tracking_uri", "rate_limit_storage"}
SECRET = sorted({n for n, f in Settings.model_fields.items() if f.annotation is SecretStr} | HOLD_A_PASSWORD)


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder of secrets, in an environment that says nothing else."""
    for name in list(os.environ):
        if name.startswith(("CLINICAL_MM_", "AWS_")):
            monkeypatch.delenv(name)
    folder = tmp_path / "secrets"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLINICAL_MM_SECRETS_DIR", str(folder))
    monkeypatch.setenv("CLINICAL_MM_WORKSPACE", str(tmp_path / "workspace"))
    settings_from_environment.cache_clear()
    yield folder
    settings_from_environment.cache_clear()


def started() -> Settings:
    """The settings of a process that starts now."""
    settings_from_environment.cache_clear()
    return settings_from_environment()


def plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def test_what_is_secret_is_known() -> None:
    assert set(SECRET) == {"deidentify_secret", "metrics_token", "oidc_client_secret", *HOLD_A_PASSWORD}


@pytest.mark.parametrize("name", SECRET)
def test_every_secret_may_be_a_file(vault: Path, name: str) -> None:
    (vault / f"CLINICAL_MM_{name.upper()}").write_text("from the vault\n", encoding="utf-8")
    assert plain(getattr(started(), name)) == "from the vault"


@pytest.mark.parametrize("name", SECRET)
def test_a_new_one_is_taken_up_at_the_next_start(vault: Path, name: str) -> None:
    file = vault / f"CLINICAL_MM_{name.upper()}"
    file.write_text("the old one", encoding="utf-8")
    before = started()
    file.write_text("the new one", encoding="utf-8")
    assert plain(getattr(settings_from_environment(), name)) == "the old one", "a process stays with what it began with"
    assert plain(getattr(before, name)) == "the old one"
    assert plain(getattr(started(), name)) == "the new one"


def test_a_variable_goes_before_a_file(vault: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (vault / "CLINICAL_MM_METRICS_TOKEN").write_text("from the vault", encoding="utf-8")
    monkeypatch.setenv("CLINICAL_MM_METRICS_TOKEN", "from the environment")
    assert plain(started().metrics_token) == "from the environment"


def test_secrets_are_read_as_kubernetes_lays_them(vault: Path) -> None:
    """Links to a folder that is replaced as a whole."""
    moment = vault / "..2026_03_01"
    moment.mkdir()
    (moment / "CLINICAL_MM_METRICS_TOKEN").write_text("from the vault", encoding="utf-8")
    (vault / "..data").symlink_to(moment.name)
    (vault / "CLINICAL_MM_METRICS_TOKEN").symlink_to("..data/CLINICAL_MM_METRICS_TOKEN")
    assert plain(started().metrics_token) == "from the vault"


def test_secrets_of_libraries_are_lent_to_them_and_nothing_else_is(
    vault: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ) | {"AWS_ACCESS_KEY_ID": "of the environment"})
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "LD_PRELOAD"):
        (vault / name).write_text(f"{name} of the vault\n", encoding="utf-8")
    started()
    assert os.environ["AWS_ACCESS_KEY_ID"] == "of the environment"
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == "AWS_SECRET_ACCESS_KEY of the vault"
    assert "LD_PRELOAD of the vault" not in os.environ.values()


def test_a_folder_that_is_not_there_is_told(vault: Path) -> None:
    vault.rmdir()
    with pytest.raises(InvalidConfig, match="CLINICAL_MM_SECRETS_DIR cannot be read"):
        started()


def test_a_misspelt_file_is_named_by_doctor(vault: Path) -> None:
    from api.cli.doctor import _names

    (vault / "CLINICAL_MM_METRIC_TOKEN").write_text("x", encoding="utf-8")
    state, detail = _names(started())
    assert (state, "is CLINICAL_MM_METRICS_TOKEN meant?" in detail) == ("warn", True)


def test_a_token_that_was_changed_in_the_vault_holds_after_a_restart(
    vault: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLINICAL_MM_WORKSPACE", str(settings.workspace))
    (vault / "CLINICAL_MM_DATABASE_URL").write_text(settings.database_url, encoding="utf-8")
    token = vault / "CLINICAL_MM_METRICS_TOKEN"
    token.write_text("the-old-one", encoding="utf-8")
    assert answers("the-old-one") == (200, 200)
    token.write_text("the-new-one", encoding="utf-8")
    assert answers("the-old-one") == (200, 401)
    assert answers("the-new-one") == (200, 200)


def answers(token: str) -> tuple[int, int]:
    """What a service that starts now says of its readiness, and to whoever brings that token."""
    from api.app import create_app
    from api.services import build

    built = build(started())
    try:
        with listening(create_app(services=built)) as url:
            sent = httpx.get(f"{url}/metrics", headers={"Authorization": f"Bearer {token}"})
            return httpx.get(f"{url}/readyz").status_code, sent.status_code
    finally:
        built.close()
