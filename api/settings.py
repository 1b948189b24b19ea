"""Every setting of the service, typed; environment variables ``CLINICAL_MM_*`` or a ``.env`` file."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What an operator may set; the descriptions are what ``doctor`` and the documentation show."""

    model_config = SettingsConfigDict(env_prefix="CLINICAL_MM_", env_file=".env", extra="ignore")

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
    mlflow_tracking_uri: str = Field(
        "", description="an MLflow server that is told of trainings; empty: none; needs the extra 'tracking'"
    )
    worker_id: str = Field("", description="stable, unique name of this job worker; empty: machine and workspace")
    embedded_worker: bool = Field(True, description="serve starts a job worker of its own")
    feature_cache_mb: int = Field(
        4096,
        ge=0,
        description="what frozen encoders made of cases is kept, at most so much; 0: nothing is",
    )
    max_upload_mb: int = Field(256, ge=1, description="largest request body")
    max_files_per_case: int = Field(600, ge=1, description="largest number of files of one case")
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
    def features_file(self) -> Path:
        """The feature cache of this machine."""
        return self.workspace.resolve() / "features.db"

    @property
    def runs_folder(self) -> Path:
        """Where training runs work: snapshots, checkpoints, logs."""
        return self.workspace.resolve() / "runs"


@cache
def settings_from_environment() -> Settings:
    """The settings of this process; the command line calls it once."""
    return Settings()
