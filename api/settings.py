"""Every setting of the service, typed; environment variables ``CLINICAL_MM_*``, a ``.env`` file, or a file each."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from clinical_mm.errors import InvalidConfig
from clinical_mm.limits import WIDEST, Limits

LENT = ("AWS_", "AZURE_", "GOOGLE_", "MLFLOW_", "OTEL_", "PG")
"""How variables begin that libraries read by themselves: stores, MLflow, collector, PostgreSQL."""


class Settings(BaseSettings):
    """What an operator may set; the descriptions are what ``doctor`` and the documentation show."""

    model_config = SettingsConfigDict(env_prefix="CLINICAL_MM_", env_file=".env", extra="ignore")

    secrets_dir: Path | None = Field(
        None, description="a folder where a vault lays secrets, a file each, named as the variable it stands for"
    )
    workspace: Path = Field(Path("workspace"), description="database, blobs, models and logs lie under it")
    database_url: str = Field("", description="SQLAlchemy URL; empty: SQLite in the workspace")
    blob_url: str = Field("", description="obstore URL such as s3://bucket/prefix; empty: a folder in the workspace")
    device: str = Field("auto", description="torch device: auto, cpu, cuda, cuda:1, mps")
    auth: Literal["on", "off"] = Field("on", description="off is refused on any address but loopback")
    catalogue: Path | None = Field(None, description="a YAML catalogue in place of the one that comes along")
    note_triggers: Path | None = Field(
        None, description="a folder of YAML in place of configs/notes: how notes deny, doubt, speak of others"
    )
    promotion_policy: Path | None = Field(
        None, description="a YAML policy in place of configs/promotion.yaml: when a new model may serve"
    )
    watching_rule: Path | None = Field(
        None, description="a YAML rule in place of configs/watching.yaml: when a model asks to be trained again"
    )
    label_policy: Path | None = Field(
        None, description="a YAML policy in place of configs/labels.yaml: which labels teach the next model"
    )
    weights: str = Field(
        "", description="weights, models and networks that runs over the API may name beside those that come along"
    )
    mlflow_tracking_uri: str = Field(
        "", description="an MLflow server that is told of trainings; empty: none; needs the extra 'tracking'"
    )
    audit_anchor: Path | None = Field(
        None, description="the file to which anchors of the audit trail are added; empty: one in the workspace"
    )
    worker_id: str = Field("", description="stable, unique name of this job worker; empty: machine and workspace")
    embedded_worker: bool = Field(True, description="serve starts a job worker of its own")
    processes: int = Field(1, ge=1, le=64, description="web processes of serve; each holds the models in memory")
    grace_s: int = Field(30, ge=1, description="how long a request may go on once its process is told to stop")
    drain_s: float = Field(0, ge=0, description="how long serve says it is not ready, yet answers, before it stops")
    feature_cache_mb: int = Field(
        4096,
        ge=0,
        description="what frozen encoders made of cases is kept, at most so much; 0: nothing is",
    )
    score_digits: int = Field(3, ge=1, le=6, description="digits of probabilities and attributions in answers")
    max_upload_mb: int = Field(256, ge=1, description="largest request body")
    max_files_per_case: int = Field(600, ge=1, description="largest number of files of one case")
    max_file_mb: int = Field(256, ge=1, description="largest file of a case")
    max_json_mb: int = Field(16, ge=1, description="largest request body that holds no files")
    max_frames: int = Field(WIDEST.frames, ge=1, le=WIDEST.frames, description="most frames that a file may claim")
    max_pixel_values: int = Field(
        WIDEST.pixel_values,
        ge=1,
        le=WIDEST.pixel_values,
        description="most rows x columns x frames x samples of a file",
    )
    max_nesting: int = Field(WIDEST.depth, ge=1, le=WIDEST.depth, description="deepest sequences of a DICOM header")
    max_elements: int = Field(WIDEST.elements, ge=1, le=WIDEST.elements, description="most elements of a DICOM header")
    max_inflated_mb: int = Field(
        WIDEST.inflated_mb, ge=1, le=WIDEST.inflated_mb, description="what a deflated DICOM file may inflate to"
    )
    decoders: int = Field(2, ge=1, description="processes that decode files as they come in")
    decoder_memory_mb: int = Field(WIDEST.memory_mb, ge=64, description="memory that decoding one file may take")
    decoder_seconds: float = Field(
        WIDEST.seconds, gt=0, description="time that decoding one file may take, and a second more for each MB it has"
    )
    clamd: str = Field(
        "", description="the virus scanner clamd, host:port or its socket's path, that sees every file; empty: none"
    )
    clamd_seconds: float = Field(
        10, gt=0, description="in which it must answer for a file, and a second more for each MB it has"
    )
    client_seconds: float = Field(
        10.0, gt=0, description="in which a request must arrive, up to the first 64 KB of its body"
    )
    client_kb_s: int = Field(32, ge=1, description="slowest client: so many KB a second after that, either way")
    max_cases_per_import: int = Field(10_000, ge=1, description="largest number of lines of one bulk import")
    max_files_per_import: int = Field(10_000, ge=1, description="largest number of files of one bulk import")
    idempotency_days: int = Field(7, ge=1, description="how long an Idempotency-Key is remembered")
    max_batch: int = Field(32, ge=1, description="most cases that share one forward pass")
    deidentify: Literal["keep", "pseudonymise", "refuse"] = Field(
        "keep", description="what is done with identity on the way in, where a project does not say"
    )
    deidentify_policy: Path | None = Field(
        None, description="a YAML policy in place of configs/deidentify/policy.yaml: what is kept, cleaned and masked"
    )
    deidentify_secret: SecretStr = Field(
        SecretStr(""), description="makes pseudonyms; empty: deidentify.secret in the workspace, made when first needed"
    )
    log_format: Literal["text", "json"] = Field("text", description="json: one object a line")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="the least that is logged")
    max_queue: int = Field(256, ge=1, description="predictions that may wait before 429")
    oidc_issuer: str = Field("", description="OpenID Connect provider, as its discovery document names it; empty: none")
    oidc_client_id: str = Field("", description="this service's name at the provider")
    oidc_client_secret: SecretStr = Field(SecretStr(""), description="its secret there; empty: a public client")
    oidc_scopes: str = Field("openid profile", description="what is asked for at sign-in")
    oidc_audience: str = Field("", description="`aud` of access tokens that open /v1; empty: none do")
    oidc_acr: str = Field("", description="`acr` that a sign-in must have, one of these, with commas; empty: any")
    oidc_amr: str = Field(
        "", description="`amr` that a sign-in must hold, one of these, with commas, such as mfa; empty: any"
    )
    oidc_max_age_minutes: int = Field(0, ge=0, description="a sign-in older than this opens nothing; 0: any age")
    oidc_token_scope: str = Field("", description="scope that an access token must carry to open /v1; empty: any")
    pages_by_key: bool = Field(
        True, description="keys and sign-in links open the pages too; never where a sign-in's strength is demanded"
    )
    oidc_grants: Path | None = Field(
        None, description="a YAML file in place of configs/grants.yaml: which claim opens which project in which role"
    )
    session_hours: float = Field(12, gt=0, description="a browser's session ends then, used or not")
    session_idle_minutes: float = Field(60, gt=0, description="a browser's session ends when unused for so long")
    session_ends_with_token: bool = Field(
        False, description="a session of the provider ends with its ID token, where that is sooner"
    )
    proxies: int = Field(0, ge=0, description="how many proxies in front of this service set X-Forwarded-*; 0: none")
    cors_origins: str = Field(
        "", description="origins whose pages may call /v1 from a browser, with commas; empty: none"
    )
    rate_limit: str = Field("12000/minute", description="requests of one key or person; empty: any number")
    rate_limit_failures: str = Field("30/minute", description="wrong keys and failed sign-ins from one address")
    rate_limit_storage: str = Field(
        "memory://", description="where requests are counted: memory:// (each process for itself), redis://host:6379/0"
    )
    metrics_token: SecretStr = Field(
        SecretStr(""), description="whoever reads /metrics must send it as a bearer token; empty: anyone who gets there"
    )
    otlp_endpoint: str = Field(
        "", description="an OpenTelemetry collector that is sent traces; empty: none; needs the extra 'tracing'"
    )
    otlp_logs_endpoint: str = Field(
        "", description="an OpenTelemetry collector that is sent the log, by https; empty: none; needs the same extra"
    )

    @property
    def sqlalchemy_url(self) -> str:
        """The database in force."""
        return self.database_url or f"sqlite:///{self.workspace.resolve() / 'clinical_mm.db'}"

    @property
    def jobs_url(self) -> str:
        """The job engine's database: the same PostgreSQL, or a SQLite file of its own."""
        return self.database_url or f"sqlite:///{self.workspace.resolve() / 'jobs.db'}"

    @property
    def models_folder(self) -> Path:
        """Where trained bundles lie, a folder a model."""
        return self.workspace.resolve() / "models"

    @property
    def limits(self) -> Limits:
        """What one file may ask for."""
        return Limits(
            pixel_values=self.max_pixel_values,
            frames=self.max_frames,
            depth=self.max_nesting,
            elements=self.max_elements,
            inflated_mb=self.max_inflated_mb,
            memory_mb=self.decoder_memory_mb,
            seconds=self.decoder_seconds,
        )

    @property
    def spool_folder(self) -> Path:
        """Where files lie while they come in."""
        return self.workspace.resolve() / "incoming"

    @property
    def trail_folder(self) -> Path:
        """What is kept of the audit trail outside the database."""
        return self.workspace.resolve() / "audit"

    @property
    def anchors_file(self) -> Path:
        """Where the audit trail is anchored."""
        return self.audit_anchor or self.trail_folder / "anchors.jsonl"

    @property
    def features_file(self) -> Path:
        """The feature cache of this machine."""
        return self.workspace.resolve() / "features.db"

    @property
    def runs_folder(self) -> Path:
        """Where training runs work: snapshots, checkpoints, logs."""
        return self.workspace.resolve() / "runs"


@cache
def settings_from_environment() -> Settings:
    """The settings of this process; the command line calls it once.

    Files of ``secrets_dir`` are read now and not again: a new secret wants a restart. A variable goes before a file.

    Raises:
        InvalidConfig: ``secrets_dir`` is no folder that can be read.
    """
    said = Settings()
    if said.secrets_dir is None:
        return said
    try:
        _lend(said.secrets_dir)
    except OSError as error:
        raise InvalidConfig(f"CLINICAL_MM_SECRETS_DIR cannot be read: {error.strerror}") from error
    return Settings(_secrets_dir=said.secrets_dir)


def secret_files(folder: Path) -> list[Path]:
    """The secrets of a folder; Kubernetes keeps its own links beside them. Raises OSError."""
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _lend(folder: Path) -> None:
    """Give libraries the variables that they look for, where those are not set."""
    for path in secret_files(folder):
        if path.name.startswith(LENT):
            os.environ.setdefault(path.name, path.read_text(encoding="utf-8").strip())
