"""Where the YAML files that come with the package lie: inside the wheel, or beside the sources."""

from __future__ import annotations

from pathlib import Path


def config_folder() -> Path:
    """The folder that holds ``catalogue.yaml`` and ``models/``."""
    installed = Path(__file__).parent / "configs"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "configs"
