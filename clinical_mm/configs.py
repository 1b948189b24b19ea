"""The YAML files that come with the package - inside the wheel, or beside the sources - and how one is read."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from clinical_mm.errors import InvalidConfig

Document = TypeVar("Document", bound=BaseModel)


def config_folder() -> Path:
    """The folder that holds ``catalogue.yaml`` and ``models/``."""
    installed = Path(__file__).parent / "configs"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "configs"


def load_yaml(kind: type[Document], path: Path) -> Document:
    """One file as what it describes; raises InvalidConfig naming each faulty field."""
    try:
        return kind.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError) as error:
        raise InvalidConfig(f"{path}: {error}") from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InvalidConfig(f"{path}: {faults}") from error
